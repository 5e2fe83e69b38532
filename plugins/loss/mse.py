"""Squared error: the loss of a number."""

from __future__ import annotations

import torch

from comp.api import Loss, PluginError, Task, plugin


@plugin("loss")
def mse(task: Task, /) -> Loss:
    """Squared error, in the target's unit squared.

    Called with values (B, 1) and targets (B,) float, returns (B,) float32.

    Raises:
        PluginError: the target is not a number.

    Example: {use: mse}
    """
    if task.target.link != "identity":
        raise PluginError(f"loss mse wants a number; {task.target.name} is {task.target.kind}: use cross_entropy, focal or bce")
    return square_error


def square_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.float()[:, 0] - targets.float()) ** 2
