"""Cross-entropy of the softmax: the loss of tasks with one class per row."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin


@plugin("loss")
def cross_entropy(
    task: Task, counts: np.ndarray, /, *, smoothing: float = 0.0, weights: Literal["none", "balanced"] = "none"
) -> Loss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7) and class weights.

    Called with logits (B, K) and classes (B,) int64, returns (B,) float32 in nats.

    Args:
        smoothing: share of the target spread evenly over all classes, in [0, 1).
        weights: balanced: a row of class c counts n / (K * n_c), n_c of n training rows and K classes that have rows
            (scikit-learn's rule; 1 on average over the rows). A class without training rows has weight 0.

    Raises:
        PluginError: the target has no classes or several per row, or smoothing is out of its range.
    """
    if task.target.link != "softmax":
        raise PluginError(
            f"loss cross_entropy wants one class per row; {task.target.name} is {task.target.kind}: use bce, focal or mse"
        )
    if not 0 <= smoothing < 1:
        raise PluginError(f"loss.smoothing is {smoothing}; wanted a share in [0, 1)")
    return CrossEntropy(smoothing, balance_classes(counts) if weights == "balanced" else None)


class CrossEntropy:
    def __init__(self, smoothing: float, weights: torch.Tensor | None) -> None:
        self.smoothing = smoothing
        self.weights = weights

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.weights is not None:
            self.weights = self.weights.to(outputs.device)
        return F.cross_entropy(outputs.float(), targets, weight=self.weights, label_smoothing=self.smoothing, reduction="none")


def balance_classes(counts: np.ndarray) -> torch.Tensor:
    """(K,) float32 weights by scikit-learn's rule `balanced`; 0 for a class without rows."""
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.tensor(weights, dtype=torch.float32)
