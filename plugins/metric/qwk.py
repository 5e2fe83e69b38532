"""Quadratic weighted kappa."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, PluginError, Task, plugin


@plugin("metric")
def qwk(task: Task, /) -> Metric:
    """Quadratic weighted kappa, as Kaggle computes it: 1 - (squared distance of answer and prediction) / (the one by chance).

    Classes: (N,) int classes, (N, K) probabilities; the likeliest class counts, and its distance is by its number in class
    order, whichever classes occur. A number: (N,) whole grades and (N,) values, which are rounded and clipped to the
    grades among the scored units.

    Raises:
        PluginError: the target is a set of labels, or a number that is no whole grade.
        MetricUndefined: every answer and prediction is the same grade, so that kappa is 0/0.

    Example: {use: qwk}
    """
    target = task.target
    if target.kind == "multilabel":
        raise PluginError(f"metric qwk wants grades; {target.name!r} is a set of labels: use macro_f1")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        grades = answers.astype(np.float64)
        if target.kind == "regression":
            if (grades % 1 != 0).any():
                odd = grades[grades % 1 != 0][0]
                raise PluginError(f"metric qwk wants whole grades; {target.name!r} holds {odd:g}: use rmse")
            said = np.clip(np.rint(predictions), grades.min(), grades.max())
        else:
            said = predictions.argmax(axis=1).astype(np.float64)
        # Over all pairs of an answer and a prediction, the mean of the squared distance is this.
        by_chance = grades.var() + said.var() + (grades.mean() - said.mean()) ** 2
        if by_chance == 0:
            raise MetricUndefined(f"qwk of {target.name!r}: every answer and prediction is the same grade")
        return float(1 - np.mean((grades - said) ** 2) / by_chance)

    return Metric(compute=compute)
