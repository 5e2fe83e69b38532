"""Mean absolute error."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._values import demand_value


@plugin("metric")
def mae(task: Task, /) -> Metric:
    """Mean of the absolute difference, in the target's unit. Called with (N,) float values and predictions.

    Raises:
        PluginError: the target has classes.

    Example: {use: mae}
    """
    demand_value(task.target, "mae")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        return float(np.mean(np.abs(answers.astype(np.float64) - predictions.astype(np.float64))))

    return Metric(compute=compute, greater_is_better=False)
