"""Sharded prediction: a large test set's rows in ranges, each predicted by all folds of a run somewhere on a Ray cluster.

A range begins where a batch of an undivided prediction would, so that its outputs are the same to the last bit. The images are
read into the store here, once; the nodes see it, and the run's weights, in the workspace's folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp.engine.rows import Rows, make_rows
from comp.errors import RunInterrupted, WorkspaceError
from comp.events import Emit, Event, Notice, PredictionProgress
from comp.finished import plan_restored
from comp.predict import Gather, make_raw
from comp.predictions import Raw
from comp.project import Project
from comp.restored import Predicted, Restored, open_restored
from comp.scale.cluster import Cluster, connect
from comp.scale.distribute import work_out_need
from comp.scale.tasks import Need, give_out
from comp.stopping import catch_stop
from comp.stores.store_source import StoreForm
from comp.stores.stored import ImageStore

SHARDS_PER_PLACE = 4
"""A place is where one shard at a time is predicted: one that is slow, or dies, holds up a quarter of its share."""


@dataclass(frozen=True)
class Shard:
    """Rows to be predicted by every fold of a run. Plain data.

    Attributes:
        root: the workspace, as a path.
        run: NAME@DIGEST.
        tta: today's wish.
        folds: the run's, in order.
        store: the image store's folder, as a path.
        form: (size, fit, channels) of its images.
        places: (n,) int64, the stored row of each row's image.
        table: (n rows) row_id, id and what the model takes beside the image, as text.
    """

    root: str
    run: str
    tta: list[dict[str, Any]]
    folds: list[str]
    store: str
    form: tuple[tuple[int, int], str, int]
    places: np.ndarray
    table: pd.DataFrame


Outputs = list[list[tuple[int, dict[str, np.ndarray], dict[str, str]]]]
"""Of each fold, of each seed: the seed, (n, outputs) float32 of each view, and the links."""


def cut_shards(restored: Restored, rows: Rows, count: int) -> list[Shard]:
    """At most `count` ranges of whole batches, of equal length but for the last.

    Raises:
        WorkspaceError: the cache had no room for the images.
    """
    plan, form = restored.plan, rows.store.form
    if not rows.store.stored:
        raise WorkspaceError(
            f"the cache has no room for {len(rows)} test images, which the nodes of a cluster would take from it; give it more "
            "(COMP_CACHE_GB, or `comp cache --clear`), or predict without --on."
        )
    batches = math.ceil(len(rows) / restored.batch.rows)
    each = math.ceil(batches / count) * restored.batch.rows
    table = pd.DataFrame({"row_id": rows.row_ids, "id": rows.ids})
    table = table if rows.columns is None else pd.concat([table, rows.columns], axis=1)
    return [
        Shard(
            root=str(plan.project.root.resolve()),
            run=f"{plan.run.experiment}@{plan.run.digest}",
            tta=plan.manifest.values["tta"],
            folds=plan.run.done,
            store=str(rows.store.folder.resolve()),
            form=(form.size, form.fit, form.channels),
            places=rows.store.rows[rows.positions[start : start + each]],
            table=table.iloc[start : start + each].reset_index(drop=True),
        )
        for start in range(0, len(rows), each)
    ]


def predict_shard(shard: Shard, emit: Emit, stop: Callable[[], bool]) -> Outputs:
    """What the folds answer; in whatever process has been given the shard.

    Raises:
        WorkspaceError: the workspace, or the image store in it, is not to be seen from here.
        RunInterrupted: a stop was asked for.
    """
    for folder in (shard.root, shard.store):
        if not Path(folder).is_dir():
            raise WorkspaceError(
                f"{folder} is not there: the workspace must lie in a folder that all nodes share, under the same path."
            )
    # What there is to say was said where the run was opened, and the shards that are done are counted there.
    plan = plan_restored(Project(Path(shard.root)), shard.run, say_nothing).with_values(tta=shard.tta)
    restored = open_restored(plan, partial(ask_to_stop, stop))
    store = ImageStore(Path(shard.store), StoreForm(*shard.form), shard.places, {})
    rows = make_rows(shard.table, store, None, columns=plan.competition.tables.columns)
    return [[tuple(seed) for seed in seeds] for seeds in restored.predict(shard.folds, rows, restored.views, "test")]


def say_nothing(event: Event) -> None:
    pass


def ask_to_stop(stop: Callable[[], bool], event: Event) -> None:
    """After each batch, of which an event tells."""
    if stop():
        raise RunInterrupted("stopped between two batches")


def join_outputs(parts: Sequence[Outputs]) -> list[list[Predicted]]:
    """Of each fold, of each seed, what the shards answered, in their order."""
    folds = []
    for shards in zip(*parts, strict=True):
        seeds = [[Predicted(*seed) for seed in same] for same in zip(*shards, strict=True)]
        folds.append([join_seed(same) for same in seeds])
    return folds


def join_seed(parts: Sequence[Predicted]) -> Predicted:
    first = parts[0]
    outputs = {view: np.concatenate([part.outputs[view] for part in parts]) for view in first.outputs}
    return Predicted(first.seed, outputs, first.links)


# ---- on a cluster --------------------------------------------------------------------------------------------------------


@contextmanager
def open_shards(address: str | None, emit: Emit) -> Iterator[Gather]:
    """Who predicts on the cluster at `address`; None: one that is started here.

    Raises:
        CompError, WorkspaceError: as comp.scale.cluster.connect.
    """
    with connect(address, emit) as cluster:
        yield partial(gather_on, cluster)


def gather_on(cluster: Cluster, restored: Restored, rows: Rows) -> Iterator[Raw]:
    """Every fold's outputs, once all shards are predicted.

    Raises:
        RunInterrupted: a stop was asked for.
        CompError: as comp.scale.tasks.give_out, and predict_shard.
    """
    plan, emit = restored.plan, restored.emit
    need = work_out_need(plan, cluster, emit, "shard")
    shards = cut_shards(restored, rows, SHARDS_PER_PLACE * count_places(cluster, need))
    emit(Notice(f"{len(rows)} test rows are predicted in {len(shards)} shards"))
    orders = {f"shard {number}": shard for number, shard in enumerate(shards, 1)}
    found: dict[str, Outputs] = {}
    with catch_stop() as stop:
        for name, outputs in give_out(cluster, predict_shard, orders, need, emit, stop):
            found[name] = outputs
            done = sum(len(orders[name].table) for name in found)
            for fold in plan.run.done:
                emit(PredictionProgress(fold, "test", done, len(rows)))
    for predicted in join_outputs([found[name] for name in orders]):
        yield make_raw(plan.competition.trained, rows, predicted)


def count_places(cluster: Cluster, need: Need) -> int:
    """How many shards can be predicted at once."""
    return int(sum(min(node.cpus // need.cpu, node.gpus // need.gpu if need.gpu else math.inf) for node in cluster.nodes))
