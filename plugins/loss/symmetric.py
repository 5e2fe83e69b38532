"""Symmetric cross-entropy: cross-entropy and its reverse, for noisy labels."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_classes, demand_number, spread


@plugin("loss")
def symmetric(task: Task, /, *, alpha: float = 0.1, beta: float = 1.0, floor: float = -4.0) -> Loss:
    """Symmetric cross-entropy (Wang et al. 2019, eq. 7): alpha * CE(target, said) + beta * CE(said, target).

    Called with logits (B, K) and classes (B,) int64 or distributions (B, K) float, returns (B,) float32.

    Args:
        alpha: weight of the cross-entropy, from 0.
        beta: weight of the reverse cross-entropy, from 0.
        floor: what log 0 is taken for in the reverse (the paper's A), below 0, in nats.

    Raises:
        PluginError: the target is no single class, or a parameter is out of its range.

    Example: {use: symmetric, alpha: 0.1, beta: 1.0}
    """
    demand_classes(task.target, "symmetric")
    demand_number("alpha", alpha, 0)
    demand_number("beta", beta, 0)
    if floor >= 0:
        raise PluginError(f"loss.floor is {floor}; wanted a number below 0")
    return Symmetric(alpha, beta, floor)


class Symmetric:
    def __init__(self, alpha: float, beta: float, floor: float) -> None:
        self.alpha, self.beta, self.floor = alpha, beta, floor

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        answers = spread(targets, outputs.shape[1])
        said = F.log_softmax(outputs.float(), dim=1)
        forward = -(answers * said).sum(dim=1)
        reverse = -(said.exp() * answers.clamp_min(math.exp(self.floor)).log()).sum(dim=1)
        return self.alpha * forward + self.beta * reverse
