"""Prediction from checkpoints alone: views that a run does not have yet, and test sets that were not there when it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from comp.api import ImageSpec, Link, Task, View
from comp.engine.device import free_memory, open_device
from comp.engine.fold import build_views
from comp.engine.predict import PredictBatch, plan_batch, predict_views
from comp.engine.restore import restore_network
from comp.engine.rows import Rows, make_rows
from comp.engine.sizes import plan_image
from comp.engine.tabular import encode_rows, read_encoder
from comp.errors import DataError, WorkspaceError
from comp.events import Emit, Notice, PredictionProgress
from comp.finished import plan_restored
from comp.ids import locate_ids
from comp.material import mend_test, read_store, tell_filled
from comp.merge import apply_post
from comp.plan import RunPlan
from comp.predictions import Predictions, Raw, average_raw, link_outputs, read_raw, write_raw
from comp.project import Project, atomic_write
from comp.report.predicted import write_predicted
from comp.runs import fold_folder, list_seeds, renew_hash, seed_folder
from comp.shown import take_images
from comp.submission import build_submission
from comp.unseen import list_test, read_sample
from comp.views import PLAIN, list_complete, missing_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Predicted(NamedTuple):
    """Raw outputs of each view, and their links."""

    seed: int
    outputs: dict[str, np.ndarray]
    links: dict[str, Link]


@dataclass(frozen=True)
class Restored:
    """A finished run that can predict: its plan, a device, and the pictures it wants."""

    plan: RunPlan
    fabric: Fabric
    image: ImageSpec
    emit: Emit

    @cached_property
    def views(self) -> dict[str, View | None]:
        """All that the manifest means."""
        return {PLAIN: None, **build_views(self.plan.manifest, self.image)}

    @property
    def batch(self) -> PredictBatch:
        return plan_batch(self.plan.manifest, self.image)

    def predict(self, fold: str, rows: Rows, views: Mapping[str, Any], what: str) -> Iterator[Predicted]:
        """What one fold's weights answer, for each seed that it was trained with."""
        folder = fold_folder(self.plan.run.folder, fold)
        for seed in list_seeds(folder):
            if seed is None:
                yield Predicted(self.plan.manifest.values["seed"], *self.predict_by(folder, fold, rows, views, what))
            else:
                yield Predicted(seed, *self.predict_by(seed_folder(folder, seed), fold, rows, views, what))

    def predict_by(
        self, folder: Path, fold: str, rows: Rows, views: Mapping[str, Any], what: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Link]]:
        network, links = restore_network(self.plan.manifest, self.plan.competition.trained, self.image, folder, self.fabric)

        def progress(done: int, total: int) -> None:
            self.emit(PredictionProgress(fold, what, done, total))

        try:
            rows = encode_rows(rows, read_encoder(folder))
            return predict_views(network, self.fabric, rows, views, self.batch, progress), links
        finally:
            del network
            free_memory()

    def average(self, fold: str, rows: Rows, views: Mapping[str, Any], what: str) -> np.ndarray:
        """(N, outputs) float64 probabilities or values: the mean of views and seeds."""
        task = self.plan.competition.trained
        answers = [
            link_outputs(raw, task, predicted.links)
            for predicted in self.predict(fold, rows, views, what)
            for raw in predicted.outputs.values()
        ]
        return np.mean(answers, axis=0)

    def read(self, table: pd.DataFrame, what: str, on_bad: str) -> Rows:
        store = read_store(self.plan, self.emit, table, self.image, what, on_bad)
        if what == "test":
            tell_filled(table, store, self.emit)
        return make_rows(table, store, None, columns=self.plan.competition.tables.columns)


Gather = Callable[[Restored, Rows], Iterable[Raw]]
"""Who predicts a test set: every fold's outputs of all views and seeds, in the order of the run's folds."""


def gather_here(restored: Restored, rows: Rows) -> Iterator[Raw]:
    """In this process, one fold after another."""
    for fold in restored.plan.run.done:
        yield make_raw(restored.plan.competition.trained, rows, list(restored.predict(fold, rows, restored.views, "test")))


def make_raw(task: Task, rows: Rows, predicted: Sequence[Predicted]) -> Raw:
    """What a fold's seeds answered, as its file holds it."""
    parts = [(view, one.seed, outputs) for one in predicted for view, outputs in one.outputs.items()]
    count, times = len(rows.ids), len(parts)
    return Raw(
        task,
        predicted[0].links,
        np.tile(np.asarray(rows.ids, dtype=object), times),
        np.tile(np.asarray(rows.row_ids, dtype=object), times),
        np.repeat(np.array([view for view, _, _ in parts], dtype=object), count),
        np.repeat(np.array([seed for _, seed, _ in parts], dtype=np.int64), count),
        np.concatenate([outputs for _, _, outputs in parts]),
    )


def open_restored(plan: RunPlan, emit: Emit) -> Restored:
    fabric = open_device(plan.manifest.values["train"])
    return Restored(plan, fabric, plan_image(plan.manifest, plan.competition.trained, plan.run.state["form"]["channels"]), emit)


def add_views(plan: RunPlan, folds: Sequence[str], emit: Emit) -> None:
    """Predict what the manifest's tta means and these folds lack, for held-out and test rows alike, and store it."""
    restored = open_restored(plan, emit)
    values, tables = plan.manifest.values, plan.competition.tables
    sources = {"oof.parquet": ("held-out", tables.train, values["on_bad_image"])}
    if tables.test is not None and len(tables.test):
        sources["test.parquet"] = ("test", tables.test, mend_test(values["on_bad_image"]))
    for file, (what, table, on_bad) in sources.items():
        rows = None
        for fold in folds:
            path = fold_folder(plan.run.folder, fold) / file
            if not path.exists():
                continue
            rows = rows or restored.read(table, what, on_bad)
            stored = read_raw(path)
            wanted = missing_views(list_complete(stored.views, stored.seeds), values["tta"])
            known = pd.unique(stored.row_ids)  # in the order of the other views: the same batches, and so the same bits
            chosen = rows.take(locate_ids(known, rows.row_ids, str(path), "the table"))
            views = build_views(replace(plan.manifest, values={**values, "tta": wanted}), restored.image)
            for seed, outputs, links in restored.predict(fold, chosen, views, what):
                write_raw(path, plan.competition.trained, chosen.ids, chosen.row_ids, outputs, seed, links)
            renew_hash(path.parent, file)


def predict_new(
    project: Project,
    reference: str,
    test: Path,
    sample: Path | None,
    out: Path,
    on_bad_image: Literal["mean", "error"],
    emit: Emit,
    pictures: Path | None = None,
    gather: Gather = gather_here,
) -> dict[str, Any]:
    """Predict a test set that the run has never seen, and write it in the competition's form.

    Args:
        test: a folder of images, or a table of them.
        sample: the sample submission of these ids; None: one row per image, in the order of the table.
        out: the CSV to write.
        pictures: a page to write, of some of the images with what is predicted for them.
        gather: who predicts.

    Returns:
        {"out", "rows", "folds", "digest", "bad"}, and "pictures" where a page was asked for.

    Raises:
        DataError: no image there, or ids that the sample does not have.
        ImageError: images that cannot be read, with `on_bad_image` error.
    """
    plan = plan_restored(project, reference, emit)
    emit(Notice(f"predicting with {plan.manifest.name}@{plan.run.digest}, the mean of folds {', '.join(plan.run.done)}"))
    has_endings, dataset = plan.run.state["form"]["ids_have_endings"], plan.manifest.values["dataset"]
    tables = list_test(test, plan.competition.tables, dataset, has_endings, plan.manifest.catalog)
    wanted = read_sample(sample) if sample else None
    if not len(tables.test) and wanted is not None and len(wanted):
        raise DataError(f"{test} lists no image, but {sample} wants {len(wanted)} answers.")
    for option, file in (("--out", out), ("--pictures", pictures)):
        demand_folder(option, file)
    plan = replace(plan, competition=replace(plan.competition, tables=tables))
    answer = answer_test(plan, wanted, on_bad_image, emit, gather) if len(tables.test) else answer_nothing(plan, wanted, emit)
    atomic_write(out, answer.frame.to_csv(index=False, lineterminator="\n"))
    found = {"out": str(out), "rows": len(answer.frame), "folds": plan.run.done, "digest": plan.run.digest, "bad": answer.bad}
    if not pictures:
        return found
    facts = {"experiment": plan.manifest.name, "digest": plan.run.digest, "folds": plan.run.done, "test": str(test)}
    write_predicted(pictures, facts, answer.predicted, answer.look)
    return {**found, "pictures": str(pictures)}


class Answer(NamedTuple):
    """A test set's answers.

    Attributes:
        frame: in the competition's form.
        predicted: what that was made from; None for an empty test set.
        rows: the test rows, likewise.
    """

    frame: pd.DataFrame
    predicted: Predictions | None = None
    rows: Rows | None = None

    @property
    def bad(self) -> list[str]:
        """The rows whose images could not be read."""
        return [] if self.rows is None else [str(self.rows.row_ids[place]) for place in sorted(self.rows.store.bad)]

    def look(self, what: str, ids: Sequence[str]) -> list[np.ndarray | str]:
        return [] if self.rows is None else take_images(self.rows, ids)


def answer_test(plan: RunPlan, sample: pd.DataFrame | None, on_bad_image: str, emit: Emit, gather: Gather) -> Answer:
    """The plan's test set by the mean of its folds, in the competition's form."""
    tables, task = plan.competition.tables, plan.competition.task
    restored = open_restored(plan, emit)
    rows = restored.read(tables.test, "test", on_bad_image)
    rule = plan.manifest.values["aggregate"]
    folds = [average_raw(raw, rule) for raw in gather(restored, rows)]
    ids = folds[0][0]
    predictions = Predictions(task, np.asarray(ids, dtype=object), np.mean([values for _, values in folds], axis=0))
    predictions = apply_post(plan, predictions, plan.run.scores() or {})
    spec = plan.manifest.values["submission"]
    frame = build_submission(plan.manifest.catalog, spec, task, predictions, sample, tables.id_column, [*ids])
    return Answer(frame, predictions, rows)


def answer_nothing(plan: RunPlan, sample: pd.DataFrame | None, emit: Emit) -> Answer:
    """The form's columns without a row, for an empty test set (a stub of a hidden one)."""
    emit(Notice("the test set is empty: only the header is written", "warning"))
    if sample is not None:
        return Answer(sample)
    task = plan.competition.task
    form = plan.manifest.catalog.build("submission", plan.manifest.values["submission"], task=task, sample=None)
    frame = form([], np.zeros((0, task.outputs)))
    return Answer(frame.rename(columns={frame.columns[0]: plan.competition.tables.id_column}))


def demand_folder(option: str, file: Path | None) -> None:
    """Raises WorkspaceError: the file has no folder that can be made; said before minutes of prediction."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{option} {file}: {file.parent} cannot be made ({error.strerror}).") from error
