"""Blends by a mean: of the predictions, of their logarithms, or of their ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from comp.api import Blend, PluginError, Task, plugin

SMALLEST = 1e-15


@plugin("blend")
def mean(task: Task, members: Mapping[str, Task], /, *, weights: dict[str, float] | None = None) -> Blend:
    """Mean of the members' probabilities or values.

    Args:
        weights: member -> its weight, from 0 on; they are divided by their sum. Without them all count alike.

    Raises:
        PluginError: a weight is negative, they sum to 0, or are of other members.

    Example: {use: mean, members: [exp001, exp002], weights: {exp001: 2.0, exp002: 1.0}}
    """
    return Mean("mean", members, weights, lambda parts, shares: mix(parts, shares, lambda values: values))


@plugin("blend")
def geometric(task: Task, members: Mapping[str, Task], /, *, weights: dict[str, float] | None = None) -> Blend:
    """Geometric mean of the members' probabilities, divided by its sum over the classes; of a label: over it and its absence.

    That is the mean of their logits: a member that is sure of what is not there counts more than in a plain mean (Hinton 2002,
    products of experts). Probabilities are clipped to [1e-15, 1].

    Args:
        weights: member -> its weight, from 0 on; they are divided by their sum. Without them all count alike.

    Raises:
        PluginError: a target is a number; a weight is negative, they sum to 0, or are of other members.

    Example: {use: geometric, members: [exp001, exp002]}
    """
    refuse_numbers("geometric", task)

    def multiply(parts: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> np.ndarray:
        there = np.exp(mix(parts, shares, lambda values: np.log(np.clip(values, SMALLEST, 1))))
        for target in task.targets:
            columns = task.slices[target.name]
            if target.link == "softmax":
                there[:, columns] /= there[:, columns].sum(axis=1, keepdims=True)
            else:
                absent = mix(parts, shares, lambda values, of=columns: np.log(np.clip(1 - values[:, of], SMALLEST, 1)))
                there[:, columns] /= there[:, columns] + np.exp(absent)
        return there

    return Mean("geometric", members, weights, multiply)


@plugin("blend")
def rank(task: Task, members: Mapping[str, Task], /, *, weights: dict[str, float] | None = None) -> Blend:
    """Mean of the members' ranks, column by column, as (rank - 0.5) / rows: for metrics that only ask for an order, such as auc.

    Ranks are taken among the rows that are predicted together: a held-out fold, or the test set. Equal predictions share a
    mean rank. With more than two classes a row does not sum to 1.

    Args:
        weights: member -> its weight, from 0 on; they are divided by their sum. Without them all count alike.

    Raises:
        PluginError: a target is a number; a weight is negative, they sum to 0, or are of other members.

    Example: {use: rank, members: [exp001, exp002]}
    """
    refuse_numbers("rank", task)

    def rank_rows(parts: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> np.ndarray:
        return mix(parts, shares, rank_columns)

    return Mean("rank", members, weights, rank_rows)


def refuse_numbers(use: str, task: Task) -> None:
    numbers = [target.name for target in task.targets if target.kind == "regression"]
    if numbers:
        raise PluginError(f"blend {use} wants probabilities; {numbers[0]!r} is a number: use mean or weighted")


def mix(parts: Mapping[str, np.ndarray], shares: Mapping[str, float], change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Weighted sum of what `change` makes of each (N, outputs) array; one is looked at at a time."""
    total = np.zeros(())
    for name in parts:
        total = total + change(parts[name]) * shares[name]
    return total


def rank_columns(values: np.ndarray) -> np.ndarray:
    """(N, outputs) in (0, 1): the mean rank of each cell in its column, less a half, over N."""
    ranks = np.empty(values.shape, dtype=np.float64)
    for column, cells in enumerate(values.T):
        _, place, counts = np.unique(cells, return_inverse=True, return_counts=True)
        ranks[:, column] = (np.cumsum(counts) - counts / 2.0)[place] / len(cells)
    return ranks


class Mean:
    """Attribute `weights`: member -> its share, of sum 1."""

    def __init__(
        self,
        use: str,
        members: Mapping[str, Task],
        weights: dict[str, float] | None,
        combine: Callable[[Mapping[str, np.ndarray], Mapping[str, float]], np.ndarray],
    ) -> None:
        stated = dict.fromkeys(members, 1.0) if weights is None else weights
        if set(stated) != set(members):
            raise PluginError(f"blend.weights are of {', '.join(sorted(stated))}; the members are {', '.join(sorted(members))}")
        self.use, self.combine = use, combine
        self.weights = self.divide(stated)

    def divide(self, weights: Mapping[str, float]) -> dict[str, float]:
        total = sum(weights.values())
        if min(weights.values(), default=0) < 0 or not total > 0:
            raise PluginError(f"blend {self.use}: weights {dict(weights)} must be 0 or more, with one above 0")
        return {name: weight / total for name, weight in weights.items()}

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Nothing is learned."""

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.combine(members, self.divide({name: self.weights[name] for name in members}))
