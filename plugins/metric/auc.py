"""Area under the ROC curve: binary, or the mean over columns."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._classes import demand_classes, demand_defined, mark_positives


@plugin("metric")
def auc(task: Task, /) -> Metric:
    """Area under the ROC curve: the share of (positive, negative) pairs in order, ties counting half (Hanley and McNeil 1982).

    Binary: of the second class's probability. Several classes: the mean over classes, each against the rest. Multilabel: the
    mean over labels. Called with (N,) int classes or (N, L) 0/1 labels, and (N, K) probabilities. By class: that column's.

    Raises:
        PluginError: the target is a number.
        MetricUndefined: a column has no positive or no negative among the scored units; the message names it.

    Example: {use: auc}
    """
    target = task.target
    demand_classes(target, "auc")
    binary = target.kind != "multilabel" and target.width == 2

    def columns(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        positives = mark_positives(target, answers)
        return np.array([rank_positives(positives[:, column], predictions[:, column]) for column in range(target.width)])

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        if binary:
            scores, names = np.array([rank_positives(answers == 1, predictions[:, 1])]), target.classes[1:]
        else:
            scores, names = columns(answers, predictions), target.classes
        demand_defined(target, "auc", len(answers), names, scores, "only positives or only negatives")
        return float(scores.mean())

    return Metric(compute=compute, per_class=None if binary else columns)


def rank_positives(positive: np.ndarray, scores: np.ndarray) -> float:
    """The area for (N,) bool answers and (N,) scores; NaN without a positive or without a negative."""
    # Sorting values is several times faster than ranking them; a bootstrap comes here hundreds of times.
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    if len(above) == 0 or len(below) == 0:
        return float("nan")
    beaten = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(beaten.mean() / (2 * len(below)))
