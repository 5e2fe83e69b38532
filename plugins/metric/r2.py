"""R²: the share of the variance that is explained."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, Task, plugin

from ._values import demand_value


@plugin("metric")
def r2(task: Task, /) -> Metric:
    """1 - (sum of squared differences) / (sum of squared differences from the answers' mean); below 0 for worse than the mean.

    Called with (N,) float values and predictions.

    Raises:
        PluginError: the target has classes.
        MetricUndefined: all answers are the same.

    Example: {use: r2}
    """
    target = task.target
    demand_value(target, "r2")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        answers = answers.astype(np.float64)
        around = np.sum((answers - answers.mean()) ** 2)
        if around == 0:
            raise MetricUndefined(f"r2 of {target.name!r}: all {len(answers)} answers are {answers[0]:g}")
        return float(1 - np.sum((answers - predictions.astype(np.float64)) ** 2) / around)

    return Metric(compute=compute)
