"""Prediction: raw outputs for rows of a store, one array per view, in the order of the rows; by one network, or several at once.

However many networks and views there are, each image is read, brought to its size and normalised once. The batches hold the same
rows whoever else predicts, because other batches may give other last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from comp.api import ImageSpec, View
from comp.engine.data import iterate_images
from comp.engine.memory import free_memory
from comp.engine.rows import Rows
from comp.errors import RunError, RunInterrupted
from comp.manifest import Manifest

Outputs = dict[str, np.ndarray]
"""Name of a view -> (N, outputs) float32."""

Told = Callable[[int, int], None]
"""Called with (rows done, rows) after each batch."""


@dataclass(frozen=True)
class PredictBatch:
    """`rows` images at a time, each of `size` (height, width) pixels."""

    rows: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Member:
    """One of the networks that predict together.

    Attributes:
        network: a Network or EnsembleNetwork; all of them are of one manifest, and so prepare images alike.
        table: (N, F) float32, what the rows' own columns are encoded to for it; None without.
    """

    network: nn.Module
    table: np.ndarray | None = None


def plan_batch(manifest: Manifest, image: ImageSpec) -> PredictBatch:
    """What a fold predicts with; the same later on, because other batches may give other last bits."""
    return PredictBatch(2 * manifest.stages[-1]["train"]["batch_size"], image.predict_size)


def predict_views(
    network: nn.Module,
    fabric: Fabric,
    rows: Rows,
    views: Mapping[str, View | None],
    batch: PredictBatch,
    progress: Told = lambda done, total: None,
) -> Outputs:
    """Raw outputs of every view by one network, each image read once.

    Args:
        network: a Network or EnsembleNetwork; it is put into eval mode.
        views: name -> view; None is the image as it is.

    Returns:
        name -> (N, outputs) float32, in the rows' order.

    Raises:
        RunError: one image alone does not fit into the device's memory.
    """
    while True:
        try:
            return predict_members([Member(network, rows.table)], fabric, rows, views, batch, progress)[0]
        except torch.OutOfMemoryError as error:
            failure = error.with_traceback(None)  # whose frames hold what fills the memory
        if batch.rows == 1:
            raise RunError("the device's memory does not hold one image for prediction; lower image.predict_size.") from failure
        free_memory()
        batch = replace(batch, rows=batch.rows // 2)


def predict_members(
    members: Sequence[Member],
    fabric: Fabric,
    rows: Rows,
    views: Mapping[str, View | None],
    batch: PredictBatch,
    progress: Told,
) -> list[Outputs]:
    """What each member answers, all of them in one pass over the images.

    Raises:
        torch.OutOfMemoryError: the device's memory does not hold a batch beside the members.
    """
    for member in members:
        member.network.eval()
    tables = [None if one.table is None else torch.as_tensor(one.table, device=fabric.device) for one in members]
    found: list[dict[str, list[torch.Tensor]]] = [{name: [] for name in views} for _ in members]
    done = 0
    with torch.inference_mode(), fabric.autocast():
        for images in iterate_images(rows.store, rows.positions, batch.rows, batch.size):
            prepared = members[0].network.prepare(images.to(fabric.device, non_blocking=True))
            here = slice(done, done + len(images))
            for name, view in views.items():
                shown = prepared if view is None else view(prepared)
                for member, table, outputs in zip(members, tables, found, strict=True):
                    outputs[name].append(member.network(shown, *(() if table is None else (table[here],))).float())
            done += len(images)
            progress(done, len(rows))
        return [{name: torch.cat(parts).cpu().numpy() for name, parts in outputs.items()} for outputs in found]


def fit_head(network: nn.Module, fabric: Fabric, rows: Rows, batch: PredictBatch, stop: Callable[[], bool]) -> bool:
    """Let a head that keeps something of the training rows (a gallery of neighbours) have their features.

    False: it has no `fit`.

    Raises:
        RunInterrupted: a stop was asked for between two batches.
    """
    fit = getattr(getattr(network, "head", None), "fit", None)
    if fit is None:
        return False
    network.eval()
    table = None if rows.table is None else torch.as_tensor(rows.table, device=fabric.device)
    parts: list[torch.Tensor] = []
    with torch.no_grad(), fabric.autocast():
        for images in iterate_images(rows.store, rows.positions, batch.rows, batch.size):
            if stop():
                raise RunInterrupted("stopped")
            start = sum(map(len, parts))
            own = None if table is None else table[start : start + len(images)]
            parts.append(network.encode(network.prepare(images.to(fabric.device)), own).float())
        fit(torch.cat(parts), {name: torch.as_tensor(values, device=fabric.device) for name, values in rows.targets.items()})
    return True
