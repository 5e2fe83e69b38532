"""F-beta: precision and recall, of which recall counts beta times."""

from __future__ import annotations

from typing import Literal

from comp.api import Metric, PluginError, Task, plugin

from ._fbeta import make_fbeta


@plugin("metric")
def fbeta(
    task: Task,
    /,
    *,
    beta: float = 2.0,
    average: Literal["binary", "micro", "macro", "weighted", "samples"] = "samples",
    threshold: float = 0.5,
) -> Metric:
    """(1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP) (van Rijsbergen 1979). For beta 1 use f1 or macro_f1.

    Called with (N,) int classes and (N, K) probabilities (the likeliest class counts), or with (N, L) 0/1 labels and
    probabilities. By class: its own; none where it is neither there nor predicted.

    Args:
        beta: above 0; how many times recall counts as much as precision.
        average: binary: of the second of two classes; micro: of all decisions together; macro: plain mean over all classes (one
            neither there nor predicted is 0); weighted: mean over the classes by how often they are there; samples: mean over the
            units, of label sets only (0 for a unit that neither has nor is given a label, as in scikit-learn).
        threshold: multilabel only: a label is predicted from this probability on.

    Raises:
        PluginError: beta is not above 0, the target is a number, or has no such average.
        MetricUndefined: nothing is there, and nothing was predicted.

    Example: {use: fbeta, beta: 2.0, average: micro}
    """
    if beta <= 0:
        raise PluginError(f"metric.beta is {beta}; wanted a number above 0")
    return make_fbeta(task.target, "fbeta", beta, average, threshold)
