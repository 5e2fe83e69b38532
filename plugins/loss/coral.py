"""CORAL: classes with an order, as one question for each step between two of them."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from comp.api import Loss, Task, plugin

from ._classes import demand_classes, spread


@plugin("loss")
def coral(task: Task, /) -> Loss:
    """Sum over the K - 1 steps of the binary cross-entropy of "is the class above k?" (Cao, Mirjalili and Raschka 2020, eq. 4).

    Made for head `coral`, whose outputs are log-probabilities of the classes; of other logits the softmax is taken first.
    Called with outputs (B, K) and classes (B,) int64 or distributions (B, K) float, K classes in order; returns (B,) float32.

    Raises:
        PluginError: the target is no single class.

    Example: {use: coral}
    """
    demand_classes(task.target, "coral")
    return measure_steps


def measure_steps(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    said = F.log_softmax(outputs.float(), dim=1)
    above = said.flip(1).logcumsumexp(dim=1).flip(1)[:, 1:]
    below = said.logcumsumexp(dim=1)[:, :-1]
    wanted = spread(targets, outputs.shape[1]).flip(1).cumsum(dim=1).flip(1)[:, 1:]
    return -(wanted * above + (1 - wanted) * below).sum(dim=1)
