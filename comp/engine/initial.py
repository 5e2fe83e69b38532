"""Initial: the network that a fold starts from."""

from __future__ import annotations

from typing import Any

from lightning_fabric import Fabric

from comp.engine.checkpoint import load_initial
from comp.engine.job import FoldJob
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, Network, build_network, find_layout
from comp.engine.ranks import Ranks
from comp.engine.sizes import without_weights
from comp.events import Emit, Notice


def build_initial(job: FoldJob, key: tuple[Any, ...], table_width: int, fabric: Fabric, emit: Emit) -> Network:
    """The manifest's network on the device; where weights are given to start from, with those.

    Args:
        key: (seed, fold): what the initial weights depend on.
        table_width: how many features of the rows' own columns there are.
    """
    values, ranks = job.manifest.values, Ranks(fabric)
    if job.init:
        values = {**values, "model": without_weights(values["model"])}
    counts = ClassCounts(count_classes(job.task, job.train.targets), len(job.train))
    network = build_network(job.manifest.catalog, values, job.task, job.image, counts, key, table_width)
    if job.init:
        load_initial(network, job.init, lambda text: emit(Notice(f"fold {job.fold}: {text}")))
    if ranks.count > 1 and values["train"]["sync_batch_norm"]:
        network = ranks.sync_norms(network)
    return fabric.to_device(network).to(memory_format=find_layout(network))
