"""Log loss, by Kaggle's definition."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, Task, plugin

from ._classes import demand_classes, divide

# scikit-learn neither divides rows by their sum nor clips so, and its clip depends on the dtype.
SMALLEST = 1e-15


@plugin("metric")
def log_loss(task: Task, /) -> Metric:
    """Multi-class log loss as Kaggle computes it: rows are divided by their sum, then clipped to [1e-15, 1 - 1e-15].

    Called with (N,) int classes and (N, K) probabilities. Multilabel, with (N, L) 0/1 labels and probabilities: the mean over
    labels of the binary log loss, clipped likewise, not divided. In nats. By class: the mean over that class's units;
    multilabel: over all units, by label.

    Raises:
        PluginError: the target is a number.

    Example: {use: log_loss}
    """
    target = task.target
    demand_classes(target, "log_loss")
    if target.kind == "multilabel":

        def label_losses(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
            clipped = np.clip(predictions.astype(np.float64), SMALLEST, 1 - SMALLEST)
            return -np.where(answers >= 0.5, np.log(clipped), np.log1p(-clipped)).mean(axis=0)

        return Metric(
            compute=lambda answers, predictions: float(label_losses(answers, predictions).mean()),
            greater_is_better=False,
            per_class=label_losses,
        )

    def row_losses(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        predictions = predictions.astype(np.float64)
        sums = predictions.sum(axis=1)
        right = np.take_along_axis(predictions, answers[:, None], axis=1)[:, 0]
        right = np.divide(right, sums, out=np.zeros(len(sums)), where=sums > 0)
        return -np.log(np.clip(right, SMALLEST, 1 - SMALLEST))

    def class_losses(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        counts = np.bincount(answers, minlength=target.width)
        sums = np.bincount(answers, weights=row_losses(answers, predictions), minlength=target.width)
        return divide(sums, counts)

    return Metric(
        compute=lambda answers, predictions: float(row_losses(answers, predictions).mean()),
        greater_is_better=False,
        per_class=class_losses,
    )
