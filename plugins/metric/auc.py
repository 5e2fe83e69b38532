"""Area under the ROC curve: binary, or the mean over columns."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, PluginError, Task, plugin


@plugin("metric")
def auc(task: Task, /) -> Metric:
    """Area under the ROC curve: the share of (positive, negative) pairs in order, ties counting half (Hanley and McNeil 1982).

    Binary: of the second class's probability. Several classes: the mean over classes, each against the rest. Multilabel: the
    mean over labels. Called with (N,) int classes or (N, L) 0/1 labels, and (N, K) probabilities. By class: that column's.

    Raises:
        PluginError: the target is a number.
        MetricUndefined: a column has no positive or no negative among the scored units; the message names it.
    """
    target = task.target
    if target.kind == "regression":
        raise PluginError(f"metric auc wants classes; {target.name!r} is a number: use rmse")
    binary = target.kind != "multilabel" and target.width == 2

    def columns(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        positives = answers >= 0.5 if target.kind == "multilabel" else answers[:, None] == np.arange(target.width)
        return np.array([rank_positives(positives[:, column], predictions[:, column]) for column in range(target.width)])

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        if binary:
            scores, names = np.array([rank_positives(answers == 1, predictions[:, 1])]), target.classes[1:]
        else:
            scores, names = columns(answers, predictions), target.classes
        without = [name for name, score in zip(names, scores, strict=True) if np.isnan(score)]
        if without:
            shown = ", ".join(map(repr, without[:5])) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            raise MetricUndefined(
                f"auc of {target.name!r}: among {len(answers)} scored units column {shown} has only positives or only negatives"
            )
        return float(scores.mean())

    return Metric(compute=compute, per_class=None if binary else columns)


def rank_positives(positive: np.ndarray, scores: np.ndarray) -> float:
    """The area for (N,) bool answers and (N,) scores; NaN without a positive or without a negative."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0  # the mean rank of equal scores
    below = ranks[place[positive]].sum() - count * (count + 1) / 2.0
    return float(below / (count * (len(positive) - count)))
