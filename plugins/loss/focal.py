"""Focal loss: cross-entropy that counts rows less the better they are answered already."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import ClassWeights, demand_number, weigh_classes


@plugin("loss")
def focal(
    task: Task,
    counts: np.ndarray,
    /,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weights: Literal["none", "balanced", "effective", "sqrt"] | list[float] = "none",
    beta: float = 0.999,
) -> Loss:
    """Focal loss (Lin et al. 2017, eq. 4 and 5): (1 - p_t)^gamma * -log p_t.

    One class per row: over the softmax; logits (B, K), classes (B,) int64 or distributions (B, K) float, of which each class
    counts by its share. Label sets: over each label's sigmoid, averaged over the labels; logits (B, L), labels (B, L) float in
    0..1. Returns (B,) float32.

    Args:
        gamma: focusing exponent, from 0; 0 gives cross-entropy.
        alpha: weight of the positive class (labels that are set, or the second of two classes), in (0, 1); the negative
            class has 1 - alpha.
        weights: for one class per row: what a row counts by its class, 1 on average over the training rows: balanced,
            effective, sqrt or a list, as in cross_entropy. A class without training rows has weight 0.
        beta: of `effective`, in [0, 1): 0 weighs all classes the same, towards 1 it becomes balanced.

    Raises:
        PluginError: the target is a number; a parameter is out of its range; alpha with three classes or more; weights with
            label sets.

    Example: {use: focal, gamma: 2.0}
    """
    target = task.target
    if target.link == "identity":
        raise PluginError(f"loss focal wants classes or labels; {target.name} is {target.kind}: use mse")
    demand_number("gamma", gamma, 0)
    if alpha is not None and not 0 < alpha < 1:
        raise PluginError(f"loss.alpha is {alpha}; wanted a weight in (0, 1)")
    if target.link == "sigmoid":
        if weights != "none":
            raise PluginError(f"loss.weights is for one class per row; {target.name} holds label sets: use alpha")
        return SigmoidFocal(gamma, alpha)
    if alpha is not None and target.width != 2:
        raise PluginError(f"loss.alpha weighs one of two classes; {target.name} has {target.width}: use weights: balanced")
    sides = None if alpha is None else torch.tensor([1 - alpha, alpha])
    return SoftmaxFocal(gamma, [ClassWeights(sides), ClassWeights(weigh_classes(weights, beta, counts, target))])


class SoftmaxFocal:
    def __init__(self, gamma: float, weights: list[ClassWeights]) -> None:
        self.gamma = gamma
        self.weights = weights

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if targets.is_floating_point():
            losses = (targets.float() * focus(-F.log_softmax(outputs.float(), dim=1), self.gamma)).sum(dim=1)
        else:
            losses = focus(F.cross_entropy(outputs.float(), targets, reduction="none"), self.gamma)
        for weigh in self.weights:
            losses = weigh(losses, targets)
        return losses


class SigmoidFocal:
    def __init__(self, gamma: float, alpha: float | None) -> None:
        self.gamma = gamma
        self.positive, self.negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs, targets = outputs.float(), targets.float()
        there = self.positive * targets * focus(F.softplus(-outputs), self.gamma)
        missing = self.negative * (1 - targets) * focus(F.softplus(outputs), self.gamma)
        return (there + missing).mean(dim=1)


def focus(cross_entropy: torch.Tensor, gamma: float) -> torch.Tensor:
    """Cross-entropies -log p_t of any shape, times (1 - p_t)^gamma."""
    # The clamp keeps the gradient finite at p_t = 1 where gamma < 1.
    missed = (-torch.expm1(-cross_entropy)).clamp_min(torch.finfo(torch.float32).tiny)
    return missed**gamma * cross_entropy
