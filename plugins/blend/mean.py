"""Blend by the mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import Blend, PluginError, Task, plugin


@plugin("blend")
def mean(task: Task, /, *, weights: dict[str, float] | None = None) -> Blend:
    """Mean of the members' probabilities or values.

    Args:
        weights: member -> its weight, from 0 on; they are divided by their sum. Without them all count alike.

    Raises:
        PluginError: a weight is negative or they sum to 0; when blending: they name other members.
    """
    if weights is not None and (min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0):
        raise PluginError(f"blend mean: weights {weights} must be 0 or more, with one above 0")
    return MeanBlend(weights)


class MeanBlend:
    def __init__(self, weights: dict[str, float] | None) -> None:
        self.weights = weights

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Nothing is learned."""

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        weights = self.weights or dict.fromkeys(members, 1.0)
        if set(weights) != set(members):
            raise PluginError(
                f"blend mean: weights are of {', '.join(sorted(weights))}; the members are {', '.join(sorted(members))}"
            )
        total = sum(weights.values())
        return np.sum([values * (weights[name] / total) for name, values in members.items()], axis=0, dtype=np.float64)
