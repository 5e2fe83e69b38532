"""Aggregating: one answer of a unit from those of its several rows, by the rule that a manifest's `aggregate` names."""

from __future__ import annotations

import numpy as np

from comp.api import Target, Task
from comp.errors import PredictionsError


def check_aggregate(task: Task, rule: str) -> list[str]:
    """A fault for each target whose rows this rule cannot bring together."""
    numbers = [target.name for target in task.targets if target.link == "identity"] if rule == "noisy_or" else []
    return [f"aggregate: noisy_or is of probabilities, but target {name!r} is a number; take mean or max" for name in numbers]


def aggregate_rows(values: np.ndarray, keys: np.ndarray, task: Task, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """One answer for the rows that share a key, ordered by key; and where each key first stands.

    Of a binary target the second class is what max and noisy_or look at, the first is the rest; of more classes each is
    taken by itself, and the row brought back to a sum of 1.

    Args:
        values: (N, task.outputs) float64 probabilities or values.
        rule: mean | max | noisy_or (1 - prod(1 - p): one positive row makes a positive unit).

    Raises:
        PredictionsError: noisy_or of a number.
    """
    if faults := check_aggregate(task, rule):
        raise PredictionsError("; ".join(faults))
    if len(keys) == 0 or rule == "mean":
        return average_rows(values, keys)
    _, first, group, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(counts) - counts
    found = np.empty((len(counts), values.shape[1]))
    for target in task.targets:
        place = task.slices[target.name]
        found[:, place] = _take_strongest(values[order][:, place], starts, target, rule)
    return found, first


def average_rows(values: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the rows that share a key, ordered by key; and where each key first stands."""
    if (keys[1:] > keys[:-1]).all():  # each key once, in order: there is nothing to bring together
        return values, np.arange(len(keys))
    _, first, group, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    return np.add.reduceat(values[order], np.cumsum(counts) - counts, axis=0) / counts[:, None], first


def _take_strongest(values: np.ndarray, starts: np.ndarray, target: Target, rule: str) -> np.ndarray:
    """`values`: (N, width), the rows of a group one after another from `starts` on."""
    exclusive = target.link == "softmax"
    binary = exclusive and target.width == 2
    looked = values[:, 1:] if binary else values
    if rule == "max":
        found = np.maximum.reduceat(looked, starts, axis=0)
    else:
        with np.errstate(divide="ignore"):
            found = -np.expm1(np.add.reduceat(np.log1p(-np.clip(looked, 0, 1)), starts, axis=0))
    if binary:
        return np.hstack([1 - found, found])
    total = found.sum(axis=1, keepdims=True)
    return np.divide(found, total, out=np.full_like(found, 1 / target.width), where=total > 0) if exclusive else found
