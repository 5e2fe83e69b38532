"""Average precision: the area under the precision-recall curve, in steps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from comp.api import Metric, PluginError, Task, plugin

from ._classes import demand_classes, demand_defined, mark_positives


@plugin("metric")
def average_precision(task: Task, /, *, average: Literal["macro", "micro"] = "macro") -> Metric:
    """Sum over the ranks of (rise in recall) * precision, as scikit-learn computes it; equal scores are one rank.

    Binary: of the second class's probability. Several classes or labels: by column. Called with (N,) int classes or (N, L) 0/1
    labels, and (N, K) probabilities. By class: that column's.

    Args:
        average: of several columns: macro: their mean (as in mAP); micro: all cells ranked together.

    Raises:
        PluginError: the target is a number, or micro with two classes.
        MetricUndefined: a column has no positive among the scored units; the message names it.

    Example: {use: average_precision, average: macro}
    """
    target = task.target
    demand_classes(target, "average_precision")
    binary = target.kind != "multilabel" and target.width == 2
    if binary and average == "micro":
        raise PluginError(f"metric.average: micro is for several columns; {target.name!r} has two classes: use macro")

    def columns(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        positives = mark_positives(target, answers)
        return np.array([add_steps(positives[:, column], predictions[:, column]) for column in range(target.width)])

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        names: tuple[str, ...] = target.classes
        if binary:
            scores, names = np.array([add_steps(answers == 1, predictions[:, 1])]), target.classes[1:]
        elif average == "micro":
            scores, names = np.array([add_steps(mark_positives(target, answers).ravel(), predictions.ravel())]), ("any",)
        else:
            scores = columns(answers, predictions)
        demand_defined(target, "average_precision", len(answers), names, scores, "no positives")
        return float(scores.mean())

    return Metric(compute=compute, per_class=None if binary else columns)


def add_steps(positive: np.ndarray, scores: np.ndarray) -> float:
    """The area for (N,) bool answers and (N,) scores; NaN without a positive."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[last]
    return float(np.diff(hits, prepend=0) @ (hits / (last + 1)) / hits[-1])
