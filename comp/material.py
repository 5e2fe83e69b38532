"""Material: what all folds of a run are trained from, opened once: the image stores, the device, the encoded rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from comp.api import ImageSpec, Metric, Tables
from comp.engine.device import demand_devices, describe_device, device_kind, open_device, settle_precision
from comp.engine.job import FoldJob, teach_nothing
from comp.engine.lessons import Teach
from comp.engine.loader.pace import count_cores
from comp.engine.loader.workers import WorkerPool
from comp.engine.memory import free_memory
from comp.engine.rows import Rows, make_rows
from comp.engine.seeds import train_seeds
from comp.engine.sizes import describe_margin, largest_seen, plan_image
from comp.engine.tabular import describe_missing
from comp.errors import DataError, RunInterrupted
from comp.events import Emit, Event, Notice, RunStarted, StoreProgress
from comp.plan import RunPlan
from comp.project import atomic_write
from comp.runs import FULL, fold_folder, read_fold
from comp.steps import open_steps
from comp.stores.growing import Growth
from comp.stores.store import open_kept, open_store
from comp.stores.store_source import StoreForm
from comp.stores.stored import ImageStore
from comp.training_part import TrainingPart, apply_fixes, join_extra, make_extra_rows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

AskTeachers = Callable[[str, Rows, Rows | None], Teach]
"""A fold, its training rows and the test rows -> what its objectives may ask."""

SHOWN_BAD = 20


@dataclass(frozen=True)
class Material:
    """Attributes:
    train: all rows of the training table whose images could be read, as they are scored.
    part: what folds train on.
    fold_of: (repeats, N) the fold of each row of `train`; -1: never held out.
    test: None without a test set.
    pool: the processes that make batches for its folds; whoever opened the material closes it.
    """

    plan: RunPlan
    fabric: Fabric
    metrics: Mapping[str, Metric]
    image: ImageSpec
    train: Rows
    part: TrainingPart
    fold_of: np.ndarray
    test: Rows | None
    emit: Emit
    pool: WorkerPool

    def train_fold(self, fold: str, stop: Callable[[], bool], ask: AskTeachers | None = None) -> dict[str, Any]:
        """Train one fold (or `full`) and free what it held. `ask`: where an objective has teachers."""
        train = self.training_rows(fold)
        job = FoldJob(
            manifest=self.plan.manifest,
            task=self.plan.competition.trained,
            metrics=self.metrics,
            image=self.image,
            fold=fold,
            folder=fold_folder(self.plan.run.folder, fold),
            train=train,
            held_out=self.held_out_rows(fold),
            test=self.test,
            pool=self.pool,
            stop_after=full_length(self.plan) if fold == FULL else None,
            stop=stop,
            init=self.plan.start.weights(fold) if self.plan.start else None,
            teach=ask(fold, train, self.test) if ask else teach_nothing,
            profile=self.plan.profile,
        )
        try:
            return train_seeds(job, self.fabric, self.emit)
        finally:
            free_memory()

    def close(self) -> None:
        self.pool.close()

    def describe_start(self, wanted: Sequence[str]) -> RunStarted:
        """`wanted`: the folds that this process is to train."""
        plan, values = self.plan, self.plan.manifest.values
        return RunStarted(
            experiment=plan.manifest.name,
            digest=plan.run.digest,
            run_folder=str(plan.run.folder),
            folds=list(wanted),
            epochs=sum(stage["epochs"] for stage in plan.manifest.stages),
            train_rows=int(self.part.used.sum()),
            test_rows=len(self.test or ()),
            device=describe_device(self.fabric, values["train"]["devices"]),
            precision=settle_precision(str(values["train"]["precision"]), device_kind()),
            metric=values["metric"]["use"],
            greater_is_better=next(iter(self.metrics.values())).greater_is_better,
            about=values["about"] or "",
        )

    def training_rows(self, fold: str) -> Rows:
        rows, left_out = self.part.take(fold)
        if left_out:
            self.emit(Notice(f"fold {fold}: {left_out} extra rows look like held-out images and are left out"))
        return rows

    def held_out_rows(self, fold: str) -> Rows | None:
        return None if fold == FULL else self.train.take(np.flatnonzero((self.fold_of == int(fold)).any(axis=0)))


def open_material(plan: RunPlan, emit: Emit, stop: Callable[[], bool], fabric: Fabric | None = None) -> Material:
    """Read every image into the store (once per machine), and open the device.

    Args:
        fabric: the device, if it is open already.

    Raises:
        CompError: the manifest wants more devices than there are.
        RunInterrupted: a stop was asked for while images were read.
        ImageError: images that cannot be read, all named, unless the manifest skips them.
    """
    values, competition = plan.manifest.values, plan.competition
    tables = competition.tables
    demand_devices(values["train"])
    fabric = fabric or open_device(values["train"])
    train_table = tables.train if not plan.debug else limit_rows(plan, tables.train)
    image = plan_image(plan.manifest, competition.trained, plan.run.state["form"]["channels"])
    emit = stoppable(emit, stop)
    if about_size := describe_margin(settle_store_size(plan, image), largest_seen(plan.manifest, image)):
        emit(Notice(about_size))
    train_store = read_store(plan, emit, train_table, image, "train", values["on_bad_image"])
    train = make_rows(train_table, train_store, competition.trained, tables.weight, tables.columns)
    kept = drop_bad(plan, train_table, train_store, emit)
    test = None
    if tables.test is not None and len(tables.test) and plan.place != "trials":
        test_table = tables.test.head(2 * values["train"]["batch_size"]) if plan.debug else tables.test
        # A unit of the test set must be answered: what cannot be read is filled with the mean image, and said.
        test_store = read_store(plan, emit, test_table, image, "test", mend_test(values["on_bad_image"]))
        tell_filled(test_table, test_store, emit)
        test = make_rows(test_table, test_store, None, columns=tables.columns)
    for text in describe_missing([train.columns, test.columns if test else None]):
        emit(Notice(text))
    train, fold_of = train.take(kept), plan.folds.of_all(train_table["id"])[:, kept]
    part = open_part(plan, emit, train, train_table.iloc[kept], fold_of, image)
    pool = WorkerPool(values["train"]["workers"], count_cores(fabric.world_size))
    return Material(plan, fabric, plan.build_metrics(), image, train, part, fold_of, test, emit, pool)


def open_part(plan: RunPlan, emit: Emit, train: Rows, table: pd.DataFrame, fold_of: np.ndarray, image: ImageSpec) -> TrainingPart:
    """What folds train on. `table`: of the rows in `train`."""
    fixes, task, extra = plan.further.fixes, plan.competition.trained, []
    for text in plan.further.describe():
        emit(Notice(text))
    train, used = apply_fixes(train, fixes, fixes.encode(task, table.reset_index(drop=True)) if fixes else None)
    for further in plan.further.extra:
        if plan.debug:
            few = further.tables.train.head(2 * plan.manifest.values["train"]["batch_size"])
            further = replace(further, tables=replace(further.tables, train=few))
        on_bad, tables = plan.manifest.values["on_bad_image"], further.tables
        store = read_images(plan, emit, tables, tables.train, image, further.name, on_bad)
        extra.append(make_extra_rows(further, store, task, plan.competition.tables.columns))
    return join_extra(train, used, fold_of, extra)


def stoppable(emit: Emit, stop: Callable[[], bool]) -> Emit:
    """Reading a million images takes minutes; a stop that was asked for meanwhile ends it at the next tick."""

    def tell(event: Event) -> None:
        emit(event)
        if isinstance(event, StoreProgress) and stop():
            raise RunInterrupted("stopped while images were read")

    return tell


def mend_test(on_bad: str) -> str:
    return "mean" if on_bad == "skip" else on_bad


def settle_store_size(plan: RunPlan, image: ImageSpec) -> tuple[int, int]:
    """The size that the run was opened with: whatever later versions make of it, its folds go on with the same pixels."""
    noted = plan.run.state["form"].get("stored_px")
    # Runs that note none are from before images were stored larger than anything sees them.
    return (noted[0], noted[1]) if noted else largest_seen(plan.manifest, image)


def read_store(plan: RunPlan, emit: Emit, table: pd.DataFrame, image: ImageSpec, what: str, on_bad: str) -> ImageStore:
    """The stored images of the competition's training or test table, built if they are not there yet."""
    if what in plan.stores:
        form = StoreForm(settle_store_size(plan, image), plan.manifest.values["image"]["fit"], image.channels)
        return open_kept(plan.stores[what], table["image"].tolist(), form)
    return read_images(plan, emit, plan.competition.tables, table, image, what, on_bad)


def read_images(
    plan: RunPlan,
    emit: Emit,
    tables: Tables,
    table: pd.DataFrame,
    image: ImageSpec,
    what: str,
    on_bad: str,
    growth: Growth | None = None,
) -> ImageStore:
    """The stored images of some of these tables' rows. `growth`: told what is written meanwhile."""
    steps = open_steps(plan.manifest.catalog, plan.manifest.values["preprocess"], tables, plan.project.root)
    return open_store(
        table["image"].tolist(),
        tables.root,
        tables.read,
        settle_store_size(plan, image),
        plan.manifest.values["image"]["fit"],
        image.channels,
        plan.project.cache,
        on_bad,
        lambda done, total: emit(StoreProgress(what, done, total)),
        steps=steps,
        notice=lambda text: emit(Notice(text)),
        by=f"{plan.manifest.name} {what}",
        growth=growth,
    )


def drop_bad(plan: RunPlan, table: pd.DataFrame, store: ImageStore, emit: Emit) -> np.ndarray:
    """Positions of the training rows that stay; those skipped are listed, all of them in the run's skipped.csv."""
    if not store.bad:
        return np.arange(len(table))
    file = plan.run.folder / "skipped.csv"
    places, reasons = zip(*sorted(store.bad.items()), strict=True)
    skipped = pd.DataFrame({"row_id": table["row_id"].iloc[list(places)].to_numpy(), "why": reasons})
    atomic_write(file, skipped.to_csv(index=False, lineterminator="\n"))
    text = f"skipped {len(store.bad)} of {len(table)} training images that cannot be read (on_bad_image: skip)"
    emit(Notice(f"{text}:\n{list_rows(table, store)}", "warning"))
    kept = np.setdiff1d(np.arange(len(table)), np.fromiter(store.bad, dtype=np.int64))
    if not len(kept):
        raise DataError("not one training image can be read; nothing is left to train on.")
    return kept


def tell_filled(table: pd.DataFrame, store: ImageStore, emit: Emit) -> None:
    """Say which test images could not be read."""
    if store.bad:
        text = f"{len(store.bad)} of {len(table)} test images cannot be read; they were predicted as the mean image"
        emit(Notice(f"{text}:\n{list_rows(table, store)}", "warning"))


def list_rows(table: pd.DataFrame, store: ImageStore) -> str:
    """The first bad rows, one a line, with the reason."""
    lines = [f"  {table['row_id'].iloc[place]}: {why}" for place, why in sorted(store.bad.items())[:SHOWN_BAD]]
    return "\n".join([*lines, *([f"  and {len(store.bad) - SHOWN_BAD} more"] if len(store.bad) > SHOWN_BAD else [])])


def limit_rows(plan: RunPlan, table: pd.DataFrame) -> pd.DataFrame:
    """For --debug: as many rows of each fold as give four batches of training."""
    fold_of = pd.Series(plan.folds.of(table["id"]), index=table.index)
    each = math.ceil(4 * plan.manifest.values["train"]["batch_size"] / max(1, plan.folds.per_repeat - 1))
    return table[fold_of.groupby(fold_of).cumcount() < each].reset_index(drop=True)


def full_length(plan: RunPlan) -> int | None:
    """How many epochs `full` trains: where an epoch was chosen on held-out rows, the folds' mean; else the whole schedule."""
    train = plan.manifest.stages[-1]["train"]
    if train["select"] == "last" and train["patience"] is None:
        return None
    records = [record for fold in plan.run.folds if (record := read_fold(fold_folder(plan.run.folder, fold)))]
    lengths = [record["best_epoch"] + 1 for record in records if record["best_epoch"] >= 0]
    return max(1, round(sum(lengths) / len(lengths))) if lengths else None
