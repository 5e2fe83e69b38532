"""Macro-F1: the mean of the classes' F1."""

from __future__ import annotations

from typing import Literal

import numpy as np

from comp.api import Metric, MetricUndefined, Task, plugin

from ._classes import count_decisions, demand_classes
from ._fbeta import measure_classes


@plugin("metric")
def macro_f1(task: Task, /, *, classes: Literal["all", "present"] = "all", threshold: float = 0.5) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN) of each class, then their plain mean, over a set of classes that predictions cannot change.

    Called with (N,) int classes and (N, K) probabilities (the likeliest class counts), or with (N, L) 0/1 labels and
    probabilities. By class: its F1; none where it is neither there nor predicted.

    Args:
        classes: `all`: every class of the task counts, one that is neither there nor predicted as 0 (scikit-learn's
            labels=range(K), zero_division=0); `present`: those that the scored units have.
        threshold: multilabel only: a label is predicted from this probability on.

    Raises:
        PluginError: the target is a number.
        MetricUndefined: `present`, and no scored unit has a label.

    Example: {use: macro_f1, classes: present}
    """
    target = task.target
    demand_classes(target, "macro_f1")

    def per_class(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return measure_classes(count_decisions(target, answers, predictions, threshold), 1.0)

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        # scikit-learn's own choice of labels is those there or predicted, so that one stray prediction adds a class to the mean.
        counts = count_decisions(target, answers, predictions, threshold)
        scores = np.nan_to_num(measure_classes(counts, 1.0), nan=0.0)
        if classes == "present":
            scores = scores[counts.there > 0]
        if len(scores) == 0:
            raise MetricUndefined(f"macro_f1: no scored unit has a label of {target.name!r}")
        return float(scores.mean())

    return Metric(compute=compute, per_class=per_class)
