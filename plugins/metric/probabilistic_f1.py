"""Probabilistic F1: F1 with probabilities in place of decisions."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, PluginError, Task, plugin

from ._classes import demand_binary


@plugin("metric")
def probabilistic_f1(task: Task, /, *, beta: float = 1.0) -> Metric:
    """pF-beta of the second of two classes, as Kaggle computes it (RSNA 2022; Yacouby and Axman 2020).

    A unit counts as found, or as falsely found, by its probability, clipped to [0, 1]; 0 where all probabilities are 0. Called
    with (N,) int classes and (N, 2) probabilities.

    Args:
        beta: above 0; how many times recall counts as much as precision.

    Raises:
        PluginError: the target has not two classes, or beta is not above 0.
        MetricUndefined: no scored unit is positive.

    Example: {use: probabilistic_f1, beta: 1.0}
    """
    target = task.target
    demand_binary(target, "probabilistic_f1", "macro_f1")
    if beta <= 0:
        raise PluginError(f"metric.beta is {beta}; wanted a number above 0")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        positive, said = answers == 1, np.clip(predictions[:, 1], 0, 1)
        if not positive.any():
            raise MetricUndefined(f"probabilistic_f1 of {target.name!r}: no scored unit is {target.classes[1]!r}")
        found = said[positive].sum()
        return float((1 + beta**2) * found / (beta**2 * positive.sum() + said.sum()))

    return Metric(compute=compute)
