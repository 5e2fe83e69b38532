"""Restored runs: what finished folds' weights answer, for rows that they have not predicted or in views that they have not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from comp.api import ImageSpec, Link, View
from comp.engine.answers import build_views
from comp.engine.device import open_device
from comp.engine.predict import Member, PredictBatch, plan_batch
from comp.engine.restore import restore_network
from comp.engine.rows import Rows, make_rows
from comp.engine.sizes import plan_image
from comp.engine.tabular import encode_rows, read_encoder
from comp.engine.together import Joint
from comp.events import Emit, Notice, PredictionProgress
from comp.ids import locate_ids
from comp.material import mend_test, read_store, tell_filled
from comp.plan import RunPlan
from comp.predictions import link_outputs, read_raw, write_raw
from comp.runs import fold_folder, list_seeds, renew_hash, seed_folder
from comp.views import PLAIN, list_complete, missing_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Predicted(NamedTuple):
    """Raw outputs of each view, and their links."""

    seed: int
    outputs: dict[str, np.ndarray]
    links: dict[str, Link]


class Trained(NamedTuple):
    """Where the weights of a fold lie that was trained with this seed."""

    fold: str
    seed: int
    folder: Path


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

    def list_trained(self, fold: str) -> list[Trained]:
        folder = fold_folder(self.plan.run.folder, fold)
        return [
            Trained(fold, self.plan.manifest.values["seed"], folder)
            if seed is None
            else Trained(fold, seed, seed_folder(folder, seed))
            for seed in list_seeds(folder)
        ]

    def predict(self, folds: Sequence[str], rows: Rows, views: Mapping[str, Any], what: str) -> Iterator[list[Predicted]]:
        """What the folds' weights answer, for each fold, for each seed that it was trained with; in one pass over the images
        where memory holds all models."""
        trained = [one for fold in folds for one in self.list_trained(fold)]
        links: dict[Trained, dict[str, Link]] = {}

        def open_member(one: Trained) -> Member:
            network, links[one] = restore_network(
                self.plan.manifest, self.plan.competition.trained, self.image, one.folder, self.fabric
            )
            return Member(network, encode_rows(rows, read_encoder(one.folder)).table)

        def progress(now: range, done: int, total: int) -> None:
            for fold in dict.fromkeys(trained[at].fold for at in now):
                self.emit(PredictionProgress(fold, what, done, total))

        width = self.plan.competition.trained.outputs
        joint = Joint(self.fabric, rows, views, self.batch, width, progress, lambda text: self.emit(Notice(text)))
        answers = zip(trained, joint.predict([partial(open_member, one) for one in trained]), strict=True)
        for _, of_fold in groupby(answers, lambda answer: answer[0].fold):
            yield [Predicted(one.seed, outputs, links[one]) for one, outputs in of_fold]

    def average(self, folds: Sequence[str], rows: Rows, views: Mapping[str, Any], what: str) -> np.ndarray:
        """(N, outputs) float64 probabilities or values: the mean of the folds, of each the mean of views and seeds."""
        task = self.plan.competition.trained
        answers = [
            np.mean([link_outputs(raw, task, one.links) for one in seeds for raw in one.outputs.values()], axis=0)
            for seeds in self.predict(folds, rows, views, what)
        ]
        return np.mean(answers, axis=0)

    def read(self, table: pd.DataFrame, what: str, on_bad: str) -> Rows:
        store = read_store(self.plan, self.emit, table, self.image, what, on_bad)
        if what == "test":
            tell_filled(table, store, self.emit)
        return make_rows(table, store, None, columns=self.plan.competition.tables.columns)


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
        if alike := group_lacking(plan, folds, file):
            rows = restored.read(table, what, on_bad)
            for lacking in alike:
                add_to_folds(restored, lacking, file, rows, what)


class Lacking(NamedTuple):
    """Folds whose files hold the same rows and lack the same views.

    Attributes:
        rows: (N,) row ids in the order of the other views: the same batches, and so the same bits.
        tta: the entries of the manifest's that are lacking.
    """

    folds: list[str]
    rows: np.ndarray
    tta: list[Mapping[str, Any]]


def group_lacking(plan: RunPlan, folds: Sequence[str], file: str) -> list[Lacking]:
    found: list[Lacking] = []
    for fold in folds:
        path = fold_folder(plan.run.folder, fold) / file
        if not path.exists():
            continue
        stored = read_raw(path)
        rows = pd.unique(stored.row_ids)
        tta = missing_views(list_complete(stored.views, stored.seeds), plan.manifest.values["tta"])
        same = [other for other in found if other.tta == tta and np.array_equal(other.rows, rows)]
        if same:
            same[0].folds.append(fold)
        elif tta:
            found.append(Lacking([fold], rows, tta))
    return found


def add_to_folds(restored: Restored, lacking: Lacking, file: str, rows: Rows, what: str) -> None:
    plan = restored.plan
    paths = [fold_folder(plan.run.folder, fold) / file for fold in lacking.folds]
    chosen = rows.take(locate_ids(lacking.rows, rows.row_ids, str(paths[0]), "the table"))
    views = build_views(plan.manifest.with_values({**plan.manifest.values, "tta": lacking.tta}), restored.image)
    for path, predicted in zip(paths, restored.predict(lacking.folds, chosen, views, what), strict=True):
        for seed, outputs, links in predicted:
            write_raw(path, plan.competition.trained, chosen.ids, chosen.row_ids, outputs, seed, links)
        renew_hash(path.parent, file)
