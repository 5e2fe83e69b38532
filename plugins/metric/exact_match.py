"""Exact match: the share of label sets that are right as a whole."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._classes import demand_sets


@plugin("metric")
def exact_match(task: Task, /, *, threshold: float = 0.5) -> Metric:
    """Share of units whose set of labels is exactly right (subset accuracy).

    Called with (N, L) 0/1 labels and probabilities. By class: the share of all units that are right about the label.

    Args:
        threshold: a label is predicted from this probability on.

    Raises:
        PluginError: the target is no set of labels.

    Example: {use: exact_match, threshold: 0.5}
    """
    demand_sets(task.target, "exact_match", "accuracy")

    def find_right(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return (predictions >= threshold) == (answers >= 0.5)

    return Metric(
        compute=lambda answers, predictions: float(find_right(answers, predictions).all(axis=1).mean()),
        per_class=lambda answers, predictions: find_right(answers, predictions).mean(axis=0),
    )
