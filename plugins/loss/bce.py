"""Binary cross-entropy: the loss of label sets, and of classes taken one against the rest."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_share, spread


@plugin("loss")
def bce(
    task: Task,
    counts: np.ndarray,
    rows: int,
    /,
    *,
    pos_weight: float | Literal["balanced"] = 1.0,
    smoothing: float = 0.0,
) -> Loss:
    """Binary cross-entropy of each output's sigmoid, averaged over the outputs.

    Label sets: logits (B, L), labels (B, L) float in 0..1. One class per row: logits (B, K), classes (B,) int64 or
    distributions (B, K) float, each class against the rest, as in "ResNet strikes back" (Wightman et al. 2021, section 3.2);
    probabilities are then sigmoids (link). Returns (B,) float32 in nats.

    Args:
        pos_weight: how many times a set label counts against one that is not set, above 0; balanced: for each label the
            training rows without it over those with it, so that both sides weigh the same (1 where no row has it, or all).
        smoothing: share of a target that is moved towards the other answers, in [0, 1): of a label set towards 1/2, of a
            class evenly to all classes.

    Raises:
        PluginError: the target is a number, or a parameter is out of its range.

    Example: {use: bce, pos_weight: balanced, smoothing: 0.05}
    """
    target = task.target
    if target.link == "identity":
        raise PluginError(f"loss bce wants classes or labels; {target.name} is {target.kind}: use mse")
    if pos_weight != "balanced" and pos_weight <= 0:
        raise PluginError(f"loss.pos_weight is {pos_weight}; wanted a number above 0, or balanced")
    demand_share("smoothing", smoothing)
    weights = balance_labels(counts, rows) if pos_weight == "balanced" else torch.full((target.width,), float(pos_weight))
    return BinaryCrossEntropy(weights, smoothing, rest=1 / target.width if target.link == "softmax" else 0.5)


class BinaryCrossEntropy:
    """`rest`: what a target is smoothed towards."""

    link = "sigmoid"

    def __init__(self, pos_weight: torch.Tensor, smoothing: float, rest: float) -> None:
        self.smoothing, self.rest = smoothing, rest
        self.width = len(pos_weight)
        self.pos_weight = None if bool((pos_weight == 1).all()) else pos_weight

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        labels = spread(targets, self.width)
        if self.smoothing:
            labels = labels * (1 - self.smoothing) + self.smoothing * self.rest
        if self.pos_weight is not None:
            self.pos_weight = self.pos_weight.to(outputs.device)
        losses = F.binary_cross_entropy_with_logits(outputs.float(), labels, pos_weight=self.pos_weight, reduction="none")
        return losses.mean(dim=1)


def balance_labels(counts: np.ndarray, rows: int) -> torch.Tensor:
    """(L,) float32: rows without the label over rows with it; 1 where one of them is none."""
    both = (counts > 0) & (counts < rows)
    weights = np.ones(len(counts))
    weights[both] = (rows - counts[both]) / counts[both]
    return torch.tensor(weights, dtype=torch.float32)
