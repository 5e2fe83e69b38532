"""Smooth L1: absolute error, squared near zero; the loss of a number with outliers."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin


@plugin("loss")
def smooth_l1(task: Task, /, *, beta: float = 1.0) -> Loss:
    """Smooth L1 (Girshick 2015, eq. 3): d^2 / (2 beta) below beta, d - beta / 2 from there on, d the absolute error.

    Called with values (B, 1) and targets (B,) float, returns (B,) float32 in the target's unit.

    Args:
        beta: where squares end, from 0, in the target's unit; 0 is the absolute error (MAE).

    Raises:
        PluginError: the target is not a number, or beta is below 0.

    Example: {use: smooth_l1, beta: 0.5}
    """
    if task.target.link != "identity":
        raise PluginError(
            f"loss smooth_l1 wants a number; {task.target.name} is {task.target.kind}: use cross_entropy, focal or bce"
        )
    if beta < 0:
        raise PluginError(f"loss.beta is {beta}; wanted 0 or more")
    return SmoothL1(beta)


class SmoothL1:
    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.smooth_l1_loss(outputs.float()[:, 0], targets.float(), beta=self.beta, reduction="none")
