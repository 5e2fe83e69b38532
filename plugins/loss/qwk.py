"""Quadratic weighted kappa as a loss, for classes with an order."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_classes, spread

LEAST = 1e-6


@plugin("loss")
def qwk(task: Task, counts: np.ndarray, /) -> Loss:
    """1 - kappa with quadratic weights, classes counting by their probability (de la Torre et al. 2018, without the logarithm).

    The squared distance between answer and prediction, over the one that chance would have: the classes' shares among the
    training rows (not the batch's) against what the batch predicts. Called with logits (B, K) and classes (B,) int64 or
    distributions (B, K) float, K classes in order; returns (B,) float32, whose mean is 1 - kappa. It has flat places: add
    cross_entropy by `sum`.

    Raises:
        PluginError: the target is no single class, or only one class has training rows.

    Example: {use: qwk}
    """
    demand_classes(task.target, "qwk")
    if (counts > 0).sum() < 2:
        raise PluginError(f"loss qwk wants two classes with training rows; {task.target.name} has {(counts > 0).sum()}")
    return Kappa(torch.tensor(counts / counts.sum(), dtype=torch.float32))


class Kappa:
    """`shares`: (K,) of the classes among the training rows."""

    def __init__(self, shares: torch.Tensor) -> None:
        self.shares = shares

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.shares = self.shares.to(outputs.device)
        said = F.softmax(outputs.float(), dim=1)
        apart = (said * measure_distances(spread(targets, len(self.shares)))).sum(dim=1)
        by_chance = (said.mean(dim=0) * measure_distances(self.shares[None])[0]).sum()
        return apart / by_chance.clamp_min(LEAST)


def measure_distances(answers: torch.Tensor) -> torch.Tensor:
    """(B, K) distributions -> (B, K): the mean squared distance of each class from a class drawn from the distribution."""
    grades = torch.arange(answers.shape[1], device=answers.device, dtype=torch.float32)
    mean, square = (answers * grades).sum(dim=1, keepdim=True), (answers * grades**2).sum(dim=1, keepdim=True)
    return square - 2 * mean * grades + grades**2
