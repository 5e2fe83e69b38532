"""Cross-entropy of the softmax: the loss of tasks with one class per row."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, Task, plugin

from ._classes import ClassWeights, demand_classes, demand_share, weigh_classes


@plugin("loss")
def cross_entropy(
    task: Task,
    counts: np.ndarray,
    /,
    *,
    smoothing: float = 0.0,
    weights: Literal["none", "balanced", "effective", "sqrt"] | list[float] = "none",
    beta: float = 0.999,
) -> Loss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7) and class weights.

    Called with logits (B, K) and classes (B,) int64 or distributions (B, K) float, returns (B,) float32 in nats.

    Args:
        smoothing: share of the target spread evenly over all classes, in [0, 1).
        weights: what a row counts by its class, 1 on average over the training rows. balanced: as 1 / n_c for n_c training rows
            of the class (scikit-learn's n / (K * n_c)); effective: as (1 - beta) / (1 - beta^n_c) (Cui et al. 2019); sqrt: as
            1 / sqrt(n_c); or a list, one from 0 per class in class order. A class without training rows has weight 0.
        beta: of `effective`, in [0, 1): 0 weighs all classes the same, towards 1 it becomes balanced.

    Raises:
        PluginError: the target has no classes or several per row, or a parameter is out of its range.

    Example: {use: cross_entropy, smoothing: 0.1, weights: balanced}
    """
    demand_classes(task.target, "cross_entropy")
    demand_share("smoothing", smoothing)
    return CrossEntropy(smoothing, ClassWeights(weigh_classes(weights, beta, counts, task.target)))


class CrossEntropy:
    def __init__(self, smoothing: float, weights: ClassWeights) -> None:
        self.smoothing = smoothing
        self.weights = weights

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        answers = targets.float() if targets.is_floating_point() else targets
        losses = F.cross_entropy(outputs.float(), answers, label_smoothing=self.smoothing, reduction="none")
        return self.weights(losses, targets)
