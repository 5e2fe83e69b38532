"""What losses of one class per row share: which targets they take, answers as distributions, and weights of classes.

Answers are classes (B,) int64, or distributions over the classes (B, K) float (a teacher's probabilities).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import PluginError, Target

Weighting = Literal["none", "balanced", "effective", "sqrt"] | list[float]


def demand_classes(target: Target, name: str) -> None:
    """Raises: PluginError: the target is a number or a set of labels."""
    if target.link != "softmax":
        hint = "smooth_l1 or mse" if target.link == "identity" else "bce, focal or asymmetric"
        raise PluginError(f"loss {name} wants one class per row; {target.name} is {target.kind}: use {hint}")


def demand_hard(targets: torch.Tensor, name: str) -> None:
    """Raises: PluginError: answers that are distributions, which have no one class to set a margin for."""
    if targets.is_floating_point():
        raise PluginError(
            f"loss {name} wants classes, not probabilities of them (a teacher's, or pseudo-labels): use cross_entropy or focal"
        )


def demand_number(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raises: PluginError: a parameter lies outside [low, high]."""
    if not low <= value <= high:
        wanted = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
        raise PluginError(f"loss.{name} is {value}; wanted {wanted}")


def demand_share(name: str, value: float) -> None:
    """Raises: PluginError: a parameter lies outside [0, 1)."""
    if not 0 <= value < 1:
        raise PluginError(f"loss.{name} is {value}; wanted a share in [0, 1)")


def spread(targets: torch.Tensor, width: int, smoothing: float = 0.0) -> torch.Tensor:
    """Answers as distributions (B, width) float32; `smoothing` of each is spread evenly over all classes."""
    shares = targets.float() if targets.is_floating_point() else F.one_hot(targets, width).float()
    return shares * (1 - smoothing) + smoothing / width if smoothing else shares


class ClassWeights:
    """Multiplies the losses (B,) of rows by what their class counts. None: every row counts 1."""

    def __init__(self, factors: torch.Tensor | None) -> None:
        self.factors = factors

    def __call__(self, losses: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.factors is None:
            return losses
        self.factors = self.factors.to(losses.device)
        # Not a matrix product: autocast would round it to 16 bits.
        return losses * ((targets * self.factors).sum(dim=1) if targets.is_floating_point() else self.factors[targets])


def weigh_classes(weights: Weighting, beta: float, counts: np.ndarray, target: Target) -> torch.Tensor | None:
    """(K,) float32, 1 on average over the training rows; None where all classes count the same.

    balanced: 1 / n_c, scikit-learn's n / (K * n_c) with K the classes that have rows. effective: (1 - beta) / (1 - beta^n_c)
    (Cui et al. 2019, eq. 4). sqrt: 1 / sqrt(n_c). A list: in class order. A class without training rows has weight 0.

    Raises:
        PluginError: beta is out of its range; a list of another length than the classes, or with a weight below 0.
    """
    demand_share("beta", beta)
    if weights == "none":
        return None
    present = counts > 0
    rows = np.where(present, counts, 1.0)
    if isinstance(weights, list):
        if len(weights) != len(counts) or min(weights) < 0:
            raise PluginError(
                f"loss.weights has {len(weights)} weights (the least is {min(weights, default=0)}); wanted one of 0 or more for "
                f"each of the {len(counts)} classes of {target.name}: {', '.join(target.classes[:8])}"
            )
        raw = np.asarray(weights, dtype=np.float64)
    else:
        # 1 - beta^n in a form that keeps its digits where beta is close to 1.
        effective = -np.expm1(rows * np.log(beta)) if beta > 0 else np.ones(len(rows))
        raw = {"balanced": 1 / rows, "effective": (1 - beta) / effective, "sqrt": 1 / np.sqrt(rows)}[weights]
    raw = np.where(present, raw, 0.0)
    total = float(raw @ counts)
    if total <= 0:
        raise PluginError(f"loss.weights gives every class with training rows the weight 0: {weights}")
    return torch.tensor(raw * counts.sum() / total, dtype=torch.float32)
