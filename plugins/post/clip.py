"""Post: predictions kept within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Task, plugin


@plugin("post")
def clip(task: Task, /, *, low: float | None = None, high: float | None = None) -> Post:
    """Values, or probabilities, below `low` become `low`, those above `high` `high`. Nothing is learned.

    Of a target with one class per row the clipped probabilities are divided by their sum. A log loss is bounded so: no answer
    costs more than -log of the least probability.

    Args:
        low: the least value, in the target's unit; of probabilities from 0 to 1. null: no bound.
        high: the greatest, likewise.

    Raises:
        PluginError: no bound is given, they cross, or are no probabilities where such are predicted.

    Example: {use: clip, low: 0.01, high: 0.99}
    """
    if low is None and high is None:
        raise PluginError("post clip: give low, high or both")
    floor, ceiling = -np.inf if low is None else low, np.inf if high is None else high
    if floor >= ceiling:
        raise PluginError(f"post clip: low {low} must be below high {high}")
    if task.target.classes and not (0 <= (low or 0) < 1 and 0 < (1 if high is None else high) <= 1):
        raise PluginError(f"post clip: {task.target.name!r} has probabilities; low {low} and high {high} must be from 0 to 1")
    return Clip(floor, ceiling, divide=task.target.link == "softmax")


class Clip:
    def __init__(self, low: float, high: float, divide: bool) -> None:
        self.low, self.high, self.divide = low, high, divide

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Nothing is learned."""

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        kept = np.clip(predictions, self.low, self.high)
        return kept / kept.sum(axis=1, keepdims=True) if self.divide else kept

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """There is nothing."""
