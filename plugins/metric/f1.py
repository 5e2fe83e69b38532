"""F1, averaged otherwise than macro_f1 does."""

from __future__ import annotations

from typing import Literal

from comp.api import Metric, Task, plugin

from ._fbeta import make_fbeta


@plugin("metric")
def f1(
    task: Task, /, *, average: Literal["binary", "micro", "weighted", "samples"] = "micro", threshold: float = 0.5
) -> Metric:
    """F1 = 2 TP / (2 TP + FP + FN). For the plain mean over classes use macro_f1.

    Called with (N,) int classes and (N, K) probabilities (the likeliest class counts), or with (N, L) 0/1 labels and
    probabilities. By class: its F1; none where it is neither there nor predicted.

    Args:
        average: binary: of the second of two classes; micro: of all decisions together (of single classes: the accuracy);
            weighted: mean over the classes by how often they are there; samples: mean over the units, of label sets only (0 for
            a unit that neither has nor is given a label, as in scikit-learn).
        threshold: multilabel only: a label is predicted from this probability on.

    Raises:
        PluginError: the target is a number, or has no such average.
        MetricUndefined: nothing is there, and nothing was predicted.

    Example: {use: f1, average: weighted}
    """
    return make_fbeta(task.target, "f1", 1.0, average, threshold)
