"""Focal loss: cross-entropy that counts rows less the better they are answered already."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin


@plugin("loss")
def focal(
    task: Task,
    counts: np.ndarray,
    /,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weights: Literal["none", "balanced"] = "none",
) -> Loss:
    """Focal loss (Lin et al. 2017, eq. 4 and 5): (1 - p_t)^gamma * -log p_t.

    One class per row: over the softmax; logits (B, K), classes (B,) int64. Label sets: over each label's sigmoid, averaged
    over the labels; logits (B, L), labels (B, L) float 0/1. Returns (B,) float32.

    Args:
        gamma: focusing exponent, from 0; 0 gives cross-entropy.
        alpha: weight of the positive class (labels that are set, or the second of two classes), in (0, 1); the negative
            class has 1 - alpha.
        weights: balanced: a row of class c counts n / (K * n_c), n_c of n training rows and K classes that have rows
            (scikit-learn's rule); for one class per row. A class without training rows has weight 0.

    Raises:
        PluginError: the target is a number; gamma or alpha is out of its range; alpha with three classes or more; weights
            with label sets.
    """
    target = task.target
    if target.link == "identity":
        raise PluginError(f"loss focal wants classes or labels; {target.name} is {target.kind}: use mse")
    if gamma < 0:
        raise PluginError(f"loss.gamma is {gamma}; wanted 0 or more")
    if alpha is not None and not 0 < alpha < 1:
        raise PluginError(f"loss.alpha is {alpha}; wanted a weight in (0, 1)")
    if target.link == "sigmoid":
        if weights == "balanced":
            raise PluginError(f"loss.weights: balanced is for one class per row; {target.name} holds label sets: use alpha")
        return SigmoidFocal(gamma, alpha)
    if alpha is not None and target.width != 2:
        raise PluginError(f"loss.alpha weighs one of two classes; {target.name} has {target.width}: use weights: balanced")
    factors = torch.tensor([1 - alpha, alpha]) if alpha is not None else torch.ones(target.width)
    return SoftmaxFocal(gamma, factors * balance_classes(counts) if weights == "balanced" else factors)


class SoftmaxFocal:
    def __init__(self, gamma: float, factors: torch.Tensor) -> None:
        self.gamma = gamma
        self.factors = factors

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.factors = self.factors.to(outputs.device)
        return self.factors[targets] * focus(F.cross_entropy(outputs.float(), targets, reduction="none"), self.gamma)


class SigmoidFocal:
    def __init__(self, gamma: float, alpha: float | None) -> None:
        self.gamma = gamma
        self.alpha = alpha

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets.float()
        losses = focus(F.binary_cross_entropy_with_logits(outputs.float(), targets, reduction="none"), self.gamma)
        if self.alpha is not None:
            losses = losses * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return losses.mean(dim=1)


def focus(cross_entropy: torch.Tensor, gamma: float) -> torch.Tensor:
    """Cross-entropies -log p_t of any shape, times (1 - p_t)^gamma."""
    # The clamp keeps the gradient finite at p_t = 1 where gamma < 1.
    missed = (-torch.expm1(-cross_entropy)).clamp_min(torch.finfo(torch.float32).tiny)
    return missed**gamma * cross_entropy


def balance_classes(counts: np.ndarray) -> torch.Tensor:
    """(K,) float32 weights by scikit-learn's rule `balanced`; 0 for a class without rows."""
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.tensor(weights, dtype=torch.float32)
