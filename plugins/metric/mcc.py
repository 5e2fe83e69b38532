"""Matthews correlation coefficient."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, Task, plugin

from ._classes import count_decisions, demand_single


@plugin("metric")
def mcc(task: Task, /) -> Metric:
    """Matthews correlation of right and likeliest class (Gorodkin 2004, for any number of classes), -1 to 1.

    0 where all predictions are one class, as scikit-learn has it. Called with (N,) int classes and (N, K) probabilities.

    Raises:
        PluginError: the target is a number or a set of labels.
        MetricUndefined: every scored unit has the same class.

    Example: {use: mcc}
    """
    target = task.target
    demand_single(target, "mcc", "macro_f1")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        hits, there, said = (
            numbers.astype(np.float64) for numbers in count_decisions(target, answers, predictions, 0.5)
        )
        units = there.sum()
        spread_there, spread_said = units**2 - there @ there, units**2 - said @ said
        if spread_there == 0:
            raise MetricUndefined(f"mcc of {target.name!r}: every scored unit is {target.classes[there.argmax()]!r}")
        covariance = hits.sum() * units - there @ said
        return float(covariance / np.sqrt(spread_there * spread_said)) if spread_said else 0.0

    return Metric(compute=compute)
