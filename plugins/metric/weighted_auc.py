"""Weighted AUC: the area under the ROC curve, of which some bands of recall count more."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, PluginError, Task, plugin

from ._classes import demand_binary


@plugin("metric")
def weighted_auc(
    task: Task, /, *, thresholds: list[float] = [0.0, 0.4, 1.0], weights: list[float] = [2.0, 1.0]  # noqa: B006
) -> Metric:
    """The area between the ROC curve and the axis, cut at levels of the true positive rate, weighted by band (ALASKA2's metric).

    1 for a perfect order. Exact, where the competition's own code leaves out the points on the levels. Called with (N,) int
    classes and (N, 2) probabilities; of the second class.

    Args:
        thresholds: true positive rates that bound the bands, rising from 0 to 1.
        weights: one above 0 for each band, the lowest first.

    Raises:
        PluginError: the target has not two classes, or bands and weights do not go together.
        MetricUndefined: only positives or only negatives among the scored units.

    Example: {use: weighted_auc, thresholds: [0.0, 0.4, 1.0], weights: [2.0, 1.0]}
    """
    target = task.target
    demand_binary(target, "weighted_auc", "auc")
    levels, heights = np.array(thresholds), np.diff(thresholds)
    if len(levels) < 2 or levels[0] != 0 or levels[-1] != 1 or (heights <= 0).any():
        raise PluginError(f"metric.thresholds is {thresholds}; wanted rates that rise from 0 to 1")
    if len(weights) != len(heights) or min(weights) <= 0:
        raise PluginError(f"metric.weights is {weights}; wanted {len(heights)} numbers above 0, one for each band of thresholds")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        if len(set(answers.tolist())) < 2:
            raise MetricUndefined(f"weighted_auc of {target.name!r}: only positives or only negatives among the scored units")
        false, true = trace_curve(answers == 1, predictions[:, 1], levels)
        areas = [np.trapezoid(np.clip(true, low, high) - low, false) for low, high in zip(levels, levels[1:])]
        return float(np.dot(areas, weights) / np.dot(heights, weights))

    return Metric(compute=compute)


def trace_curve(positive: np.ndarray, scores: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates of the ROC curve from (0, 0) to (1, 1), with the points at which it crosses the levels."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores are one step of the curve
    true = np.append(0, np.cumsum(positive[order])[last]) / positive.sum()
    false = np.append(0, np.cumsum(~positive[order])[last]) / (~positive).sum()
    crossed = levels[~np.isin(levels, true)]
    place = np.searchsorted(true, crossed)
    return np.insert(false, place, np.interp(crossed, true, false)), np.insert(true, place, crossed)
