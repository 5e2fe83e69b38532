"""A linear layer for numbers that lie in a known range."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def regression(
    task: Task,
    features: int,
    /,
    *,
    low: float | None = None,
    high: float | None = None,
    bound: Literal["clamp", "sigmoid"] = "clamp",
    start: float | None = None,
    dropout: float = 0.0,
) -> Head:
    """Numbers within [low, high], (B, features) -> (B, outputs). Weights start at 0.

    Args:
        low: least answer, in the target's unit; null: no bound.
        high: greatest answer, in the target's unit; null: no bound.
        bound: clamp: a plain linear layer whose answers are cut in prediction, not in training, where a cut has no gradient;
            sigmoid: low + (high - low) * sigmoid, in training too.
        start: the first answer, in the target's unit; null: the middle of the range, or what of it is nearest to 0.
        dropout: share of the features dropped in training, in [0, 1).

    Raises:
        PluginError: a target is no number; low is not below high; sigmoid without both; start outside the range.

    Example: {use: regression, low: 0.0, high: 100.0, bound: sigmoid}
    """
    others = [target.name for target in task.targets if target.link != "identity"]
    if others:
        raise PluginError(f"head regression wants numbers; {', '.join(others)} has classes or labels: use multitarget")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    if low is not None and high is not None and low >= high:
        raise PluginError(f"head.low is {low}, head.high {high}; wanted low below high")
    if bound == "sigmoid" and (low is None or high is None):
        raise PluginError("head.bound: sigmoid lies between two bounds; give head.low and head.high, or bound: clamp")
    if start is not None and not (-math.inf if low is None else low) < start < (math.inf if high is None else high):
        raise PluginError(f"head.start is {start}; wanted a number between head.low and head.high ({low}, {high})")
    first = choose_start(low, high) if start is None else start
    layer = nn.Linear(features, task.outputs)
    nn.init.zeros_(layer.weight)
    if bound == "sigmoid":
        nn.init.constant_(layer.bias, math.log((first - low) / (high - first)))
        return nn.Sequential(nn.Dropout(dropout), layer, Squash(low, high))
    nn.init.constant_(layer.bias, first)
    return nn.Sequential(nn.Dropout(dropout), layer, Cut(low, high))


def choose_start(low: float | None, high: float | None) -> float:
    if low is not None and high is not None:
        return (low + high) / 2
    return max(low, 0.0) if low is not None else min(high, 0.0) if high is not None else 0.0


class Squash(nn.Module):
    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.low + (self.high - self.low) * torch.sigmoid(values.float())


class Cut(nn.Module):
    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.training or (self.low is None and self.high is None):
            return values
        return values.clamp(self.low, self.high)
