"""Top-k accuracy and error: whether the right class is among the k likeliest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from comp.api import Metric, PluginError, Target, Task, plugin

from ._classes import demand_single, divide, rank_answers

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@plugin("metric")
def topk_accuracy(task: Task, /, *, k: int = 5) -> Metric:
    """Share of units whose class is among the k likeliest (of equal probabilities the first class ranks first).

    Called with (N,) int classes and (N, K) probabilities. By class: the share of that class's units.

    Args:
        k: from 1; 1 is the accuracy.

    Raises:
        PluginError: the target is a number or a set of labels, or k is below 1.

    Example: {use: topk_accuracy, k: 5}
    """
    find = make_finder(task.target, "topk_accuracy", k)
    return Metric(
        compute=lambda answers, predictions: float(find(answers, predictions).mean()),
        per_class=lambda answers, predictions: share_by_class(task.target, answers, find(answers, predictions)),
    )


@plugin("metric")
def topk_error(task: Task, /, *, k: int = 1) -> Metric:
    """Share of units whose class is not among the k likeliest: 1 - topk_accuracy; less is better.

    Called with (N,) int classes and (N, K) probabilities. By class: the share of that class's units.

    Args:
        k: from 1.

    Raises:
        PluginError: the target is a number or a set of labels, or k is below 1.

    Example: {use: topk_error, k: 1}
    """
    find = make_finder(task.target, "topk_error", k)
    return Metric(
        compute=lambda answers, predictions: float((~find(answers, predictions)).mean()),
        greater_is_better=False,
        per_class=lambda answers, predictions: share_by_class(task.target, answers, ~find(answers, predictions)),
    )


def make_finder(target: Target, name: str, k: int) -> Score:
    """(answers, predictions) -> (N,) bool: whether the right class is among the k likeliest.

    Raises:
        PluginError: the target is a number or a set of labels, or k is below 1.
    """
    demand_single(target, name, "map_at_k")
    if k < 1:
        raise PluginError(f"metric.k is {k}; wanted 1 or more")
    return lambda answers, predictions: rank_answers(answers, predictions) <= k


def share_by_class(target: Target, answers: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(width,) the share of a class's units that are chosen; NaN without units."""
    counts = np.bincount(answers, minlength=target.width)
    return divide(np.bincount(answers[chosen], minlength=target.width), counts)
