"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from comp.api import Loss, PluginError, Spec, Task, plugin


@plugin("loss")
def sum(task: Task, build: Callable[[Spec], Loss], /, *, parts: list[Spec]) -> Loss:
    """The weighted sum of several losses of the same outputs, (B,).

    Args:
        parts: the losses, each `{use: …}`; its `weight` (1 by default, from 0) says how much it counts.

    Raises:
        PluginError: no parts, a weight below 0, or parts that read the outputs differently (a softmax with a sigmoid).

    Example: {use: sum, parts: [{use: cross_entropy}, {use: qwk, weight: 0.5}]}
    """
    if not parts:
        raise PluginError("loss.parts is empty; wanted the losses to add up, such as [{use: cross_entropy}, {use: qwk}]")
    weights = [part.get("weight", 1.0) for part in parts]
    if min(weights) < 0:
        raise PluginError(f"loss.parts.{weights.index(min(weights))}.weight is {min(weights)}; wanted 0 or more")
    losses = [build(part) for part in parts]
    links = [getattr(loss, "link", task.target.link) for loss in losses]
    if len(set(links)) > 1:
        read = ", ".join(f"{part['use']} as {link}" for part, link in zip(parts, links, strict=True))
        raise PluginError(f"loss.parts read the outputs of {task.target.name} differently: {read}; wanted one way")
    return Sum(losses, weights, links[0])


class Sum(nn.Module):
    """A module, so that parts which are modules move with it."""

    def __init__(self, losses: list[Loss], weights: list[float], link: str) -> None:
        super().__init__()
        self.losses, self.weights, self.link = losses, weights, link
        self.modules_among = nn.ModuleList(loss for loss in losses if isinstance(loss, nn.Module))

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses = [weight * loss(outputs, targets) for weight, loss in zip(self.weights, self.losses, strict=True)]
        return torch.stack(losses).sum(dim=0)
