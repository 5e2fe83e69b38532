"""Losses of a task: one plugin per target, called on its part of the raw outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from comp.api import Link, Loss, Task
from comp.catalog import Catalog
from comp.errors import PluginError


@dataclass(frozen=True)
class TaskLoss:
    """Raw outputs (B, task.outputs) and targets -> {target: (B,) losses}, each times its weight."""

    parts: Mapping[str, Loss]
    slices: Mapping[str, slice]
    links: Mapping[str, Link]
    weights: Mapping[str, float]

    def __call__(self, outputs: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if len(self.parts) == 1:  # its slice would be the whole, at the price of another node in the graph
            found = {name: part(outputs, targets[name]) for name, part in self.parts.items()}
        else:
            found = {name: part(outputs[:, self.slices[name]], targets[name]) for name, part in self.parts.items()}
        return {name: losses if self.weights[name] == 1 else self.weights[name] * losses for name, losses in found.items()}


def build_losses(
    catalog: Catalog, spec: Mapping[str, Any], task: Task, targets: Mapping[str, np.ndarray], device: torch.device
) -> TaskLoss:
    """The manifest's `loss`: one mapping for all targets, or one per target. `targets`: those of the training rows.

    Raises:
        PluginError: a weight is below 0.
    """
    counts, rows = count_classes(task, targets), len(next(iter(targets.values())))
    parts: dict[str, Loss] = {}
    weights: dict[str, float] = {}
    for target in task.targets:
        own = spec if "use" in spec else spec[target.name]
        weights[target.name] = own.get("weight", 1.0)
        if not 0 <= weights[target.name] < math.inf:
            raise PluginError(f"loss.weight of {target.name} is {weights[target.name]}; wanted 0 or more")
        loss = catalog.build("loss", own, task=task.only(target.name), counts=counts[target.name], rows=rows)
        parts[target.name] = loss.to(device) if isinstance(loss, torch.nn.Module) else loss
    links = {target.name: getattr(parts[target.name], "link", target.link) for target in task.targets}
    return TaskLoss(parts, task.slices, links, weights)


def count_classes(task: Task, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Target name -> (width,) float64: training rows per class (multilabel: per label); empty for values."""
    counts: dict[str, np.ndarray] = {}
    for target in task.targets:
        values = targets[target.name]
        if not target.classes:
            counts[target.name] = np.zeros(0)
        elif target.kind == "multilabel":
            counts[target.name] = values.sum(axis=0, dtype=np.float64)
        else:
            counts[target.name] = np.bincount(values, minlength=target.width).astype(np.float64)
    return counts
