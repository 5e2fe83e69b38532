"""Class-balanced loss: any loss of one class per row, weighted by the effective number of the class's rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from comp.api import Loss, PluginError, Spec, Task, plugin

from ._classes import ClassWeights, demand_classes, weigh_classes


@plugin("loss")
def class_balanced(
    task: Task,
    counts: np.ndarray,
    build: Callable[[Spec], Loss],
    /,
    *,
    base: Spec = {"use": "cross_entropy"},  # noqa: B006 - read from the source, never changed
    beta: float = 0.999,
) -> Loss:
    """A loss times (1 - beta) / (1 - beta^n_c) for n_c training rows of the class (Cui et al. 2019, eq. 4).

    Weights are 1 on average over the training rows (the paper: over the classes). Takes what `base` takes, returns (B,).

    Args:
        base: the loss, `{use: …}`; one without `weights` of its own, or with `weights: none`, and without a `weight`.
        beta: in [0, 1): 0 weighs all classes the same, towards 1 a class counts as 1 / n_c.

    Raises:
        PluginError: the target is no single class, beta is out of its range, or `base` is weighted already.

    Example: {use: class_balanced, base: {use: focal, gamma: 1.0}, beta: 0.999}
    """
    demand_classes(task.target, "class_balanced")
    if base.get("weights", "none") != "none":
        raise PluginError(f"loss.base.weights is {base['weights']}; class_balanced weighs the classes itself: wanted none")
    if base.get("weight", 1.0) != 1:
        raise PluginError(f"loss.base.weight is {base['weight']}; give it to class_balanced itself: loss.weight")
    return Weighted(build(base), ClassWeights(weigh_classes("effective", beta, counts, task.target)))


class Weighted(nn.Module):
    """A module, so that a base which is one moves with it."""

    def __init__(self, base: Loss, weights: ClassWeights) -> None:
        super().__init__()
        self.base = base
        self.weights = weights
        if hasattr(base, "link"):
            self.link = base.link

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.weights(self.base(outputs, targets), targets)
