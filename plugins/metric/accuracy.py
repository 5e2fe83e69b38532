"""Accuracy: the share of units that are answered right."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._classes import demand_classes, divide
from .exact_match import exact_match


@plugin("metric")
def accuracy(task: Task, /, *, threshold: float = 0.5) -> Metric:
    """Share of units whose likeliest class is the right one; multilabel: exact_match.

    Called with (N,) int classes and (N, K) probabilities (of equals the first class is taken), or with (N, L) 0/1 labels and
    probabilities. By class: the share of that class's units (its recall); multilabel: of all units, by label.

    Args:
        threshold: multilabel only: a label is predicted from this probability on.

    Raises:
        PluginError: the target is a number.

    Example: {use: accuracy}
    """
    target = task.target
    demand_classes(target, "accuracy")
    if target.kind == "multilabel":
        return exact_match(task, threshold=threshold)

    def recall(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        counts = np.bincount(answers, minlength=target.width)
        right = np.bincount(answers[predictions.argmax(axis=1) == answers], minlength=target.width)
        return divide(right, counts)

    return Metric(
        compute=lambda answers, predictions: float((predictions.argmax(axis=1) == answers).mean()),
        per_class=recall,
    )
