"""Root mean squared error."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._values import demand_value


@plugin("metric")
def rmse(task: Task, /) -> Metric:
    """Root of the mean squared difference, in the target's unit. Called with (N,) float values and predictions.

    Raises:
        PluginError: the target has classes.

    Example: {use: rmse}
    """
    demand_value(task.target, "rmse")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        difference = answers.astype(np.float64) - predictions.astype(np.float64)
        return float(np.sqrt(np.mean(difference * difference)))

    return Metric(compute=compute, greater_is_better=False)
