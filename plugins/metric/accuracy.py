"""Accuracy: the share of units that are answered right."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, PluginError, Task, plugin


@plugin("metric")
def accuracy(task: Task, /, *, threshold: float = 0.5) -> Metric:
    """Share of units whose likeliest class is the right one; multilabel: whose set of labels is exactly right.

    Called with (N,) int classes and (N, K) probabilities (of equals the first class is taken), or with (N, L) 0/1 labels and
    probabilities. By class: the share of that class's units (its recall); multilabel: of all units, by label.

    Args:
        threshold: multilabel only: a label is predicted from this probability on.

    Raises:
        PluginError: the target is a number.
    """
    target = task.target
    if target.kind == "regression":
        raise PluginError(f"metric accuracy wants classes; {target.name!r} is a number: use rmse")
    if target.kind == "multilabel":

        def right_labels(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
            return (predictions >= threshold) == (answers >= 0.5)

        return Metric(
            compute=lambda answers, predictions: float(right_labels(answers, predictions).all(axis=1).mean()),
            per_class=lambda answers, predictions: right_labels(answers, predictions).mean(axis=0),
        )

    def recall(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        counts = np.bincount(answers, minlength=target.width)
        right = np.bincount(answers[predictions.argmax(axis=1) == answers], minlength=target.width)
        return np.divide(right, counts, out=np.full(target.width, np.nan), where=counts > 0)

    return Metric(
        compute=lambda answers, predictions: float((predictions.argmax(axis=1) == answers).mean()),
        per_class=recall,
    )
