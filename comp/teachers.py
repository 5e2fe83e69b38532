"""Teachers: what models of other runs, none of which saw what a fold holds out, answer for the rows that the fold learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from comp.api import Tables
from comp.engine.device import keep_settings
from comp.engine.joined import join_rows
from comp.engine.lessons import Teach
from comp.engine.rows import Rows
from comp.events import Event
from comp.finished import plan_finished
from comp.ids import locate_ids
from comp.lineage import average_stored
from comp.plan import RunPlan
from comp.restored import Restored, open_restored
from comp.runs import FULL, Run
from comp.views import PLAIN


@dataclass(frozen=True)
class Teachers:
    """The teachers of one run. Test rows are answered from what is stored, training rows by restored models, once per fold."""

    plan: RunPlan
    opened: dict[str, tuple[Restored, Rows]] = field(default_factory=dict)

    def of(self, fold: str, train: Rows, test: Rows | None) -> Teach:
        """What the engine asks for a fold's rows."""
        task, runs = self.plan.competition.trained, self.plan.teachers

        def teach(names: Sequence[str], kind: str) -> Mapping[str, np.ndarray]:
            answers = [
                self.answer_test(runs[name], fold, test) if kind == "test" else self.answer_train(runs[name], fold, train)
                for name in names
            ]
            mean = np.mean(answers, axis=0)
            return {target.name: mean[:, task.slices[target.name]].astype(np.float32) for target in task.targets}

        return teach

    def answer_test(self, run: Run, fold: str, rows: Rows | None) -> np.ndarray:
        assert rows is not None
        folds = run.folds if fold == FULL else [fold]
        return average_stored(run, folds, "test.parquet", rows.row_ids, self.plan.competition.trained)

    def answer_train(self, run: Run, fold: str, rows: Rows) -> np.ndarray:
        """By the model that held out what the fold holds out. For `full`, which is scored on nothing, each row's own OOF."""
        if fold != FULL:
            return self.predict(run, [fold], rows)
        found = average_stored(run, run.folds, "oof.parquet", rows.row_ids, self.plan.competition.trained, partly=True)
        lacking = np.flatnonzero(np.isnan(found).any(axis=1))  # extra rows, and those that no fold holds out
        if len(lacking):
            found[lacking] = self.predict(run, run.folds, rows.take(lacking))
        return found

    def predict(self, run: Run, folds: Sequence[str], rows: Rows) -> np.ndarray:
        """The mean of these folds' models."""
        restored, known = self.open(run)
        chosen = known.take(locate_ids(rows.row_ids, known.row_ids, f"{self.plan.manifest.name}'s training rows", run.experiment))
        return restored.average(folds, chosen, {PLAIN: None}, "train")

    def open(self, run: Run) -> tuple[Restored, Rows]:
        """The teacher's models and its own pictures of the training rows."""
        if run.digest not in self.opened:
            plan = plan_finished(self.plan.project, f"{run.experiment}@{run.digest}", say_nothing)
            with keep_settings():
                restored = open_restored(plan, say_nothing)
            tables = [plan.competition.tables, *(extra.tables for extra in self.plan.further.extra)]
            rows = join_rows([read_table(restored, table) for table in tables])
            self.opened[run.digest] = (restored, rows)
        return self.opened[run.digest]


def read_table(restored: Restored, tables: Tables) -> Rows:
    """A table's rows, the student's own extra ones for instance, with pictures as the teacher wants them."""
    plan = restored.plan
    elsewhere = replace(restored, plan=replace(plan, competition=replace(plan.competition, tables=tables)))
    return elsewhere.read(tables.train, "train", plan.manifest.values["on_bad_image"])


def say_nothing(event: Event) -> None:
    """Another run's progress is not this one's."""
