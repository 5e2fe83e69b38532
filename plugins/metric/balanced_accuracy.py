"""Balanced accuracy: the mean of the classes' recall."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._classes import count_decisions, demand_single, divide


@plugin("metric")
def balanced_accuracy(task: Task, /) -> Metric:
    """Mean over the classes of the share of a class's units whose likeliest class is the right one.

    Classes that no scored unit has are left out, as scikit-learn does. Called with (N,) int classes and (N, K) probabilities. By
    class: its recall.

    Raises:
        PluginError: the target is a number or a set of labels.

    Example: {use: balanced_accuracy}
    """
    target = task.target
    demand_single(target, "balanced_accuracy", "exact_match or macro_f1")

    def recall(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        counts = count_decisions(target, answers, predictions, 0.5)
        return divide(counts.hits, counts.there)

    return Metric(compute=lambda answers, predictions: float(np.nanmean(recall(answers, predictions))), per_class=recall)
