"""`comp predict`: test sets that were not there when a run was made, by its weights alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from comp.api import Task
from comp.engine.rows import Rows, make_rows
from comp.errors import DataError, WorkspaceError
from comp.events import Emit, Event, Notice, StoreProgress
from comp.finished import plan_restored
from comp.material import read_images, settle_store_size, tell_filled
from comp.merge import apply_post
from comp.plan import RunPlan
from comp.predictions import Predictions, Raw, average_raw
from comp.project import Project, atomic_write
from comp.report.predicted import write_predicted
from comp.restored import Predicted, Restored, open_restored
from comp.shown import take_images
from comp.stores.growing import GrowingImages, Growth
from comp.stores.store import number_refs
from comp.stores.store_source import StoreForm
from comp.stores.stored import ImageStore
from comp.submission import build_submission
from comp.unseen import list_test, read_sample

Gather = Callable[[Restored, Rows], Iterable[Raw]]
"""Who predicts a test set: every fold's outputs of all views and seeds, in the order of the run's folds."""


def gather_here(restored: Restored, rows: Rows) -> Iterator[Raw]:
    """In this process, all folds in one pass."""
    for predicted in restored.predict(restored.plan.run.done, rows, restored.views, "test"):
        yield make_raw(restored.plan.competition.trained, rows, predicted)


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
    rule = plan.manifest.values["aggregate"]
    with look_at_test(open_restored(plan, emit), tables.test, on_bad_image) as (restored, rows):
        folds = [average_raw(raw, rule) for raw in gather(restored, rows)]
    ids = folds[0][0]
    predictions = Predictions(task, np.asarray(ids, dtype=object), np.mean([values for _, values in folds], axis=0))
    predictions = apply_post(plan, predictions, plan.run.scores() or {})
    spec = plan.manifest.values["submission"]
    frame = build_submission(plan.manifest.catalog, spec, task, predictions, sample, tables.id_column, [*ids])
    return Answer(frame, predictions, rows)


@contextmanager
def look_at_test(restored: Restored, table: pd.DataFrame, on_bad: str) -> Iterator[tuple[Restored, Rows]]:
    """The rows of a test set; and who predicts them, on a GPU while their images are still being read.

    A CPU's cores are either the reader's or the model's.
    """
    if restored.fabric.device.type == "cpu":
        yield restored, restored.read(table, "test", on_bad)
        return
    plan, image, turn = restored.plan, restored.image, Lock()

    def tell(event: Event) -> None:
        with turn:  # views are no place for two threads at once
            restored.emit(event)

    def open_whole(growth: Growth, progress: Callable[[int, int], None]) -> ImageStore:
        def note(event: Event) -> None:
            tell(event)
            if isinstance(event, StoreProgress):
                progress(event.done, event.total)

        return read_images(plan, note, plan.competition.tables, table, image, "test", on_bad, growth)

    names, places = number_refs(table["image"].tolist())
    form = StoreForm(settle_store_size(plan, image), plan.manifest.values["image"]["fit"], image.channels)
    store = GrowingImages(form, places, len(names), open_whole)
    try:
        yield replace(restored, emit=tell), make_rows(table, store, None, columns=plan.competition.tables.columns)
        tell_filled(table, store, tell)
    finally:
        store.close()


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
