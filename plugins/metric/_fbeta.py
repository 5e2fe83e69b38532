"""F-measures from counts of decisions, averaged in any way."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, PluginError, Target

from ._classes import Counts, count_decisions, demand_classes, divide


def measure_classes(counts: Counts, beta: float) -> np.ndarray:
    """(1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP) by class; NaN where it is neither there nor said."""
    weight = 1 + beta * beta
    return divide(weight * counts.hits, beta * beta * counts.there + counts.said)


def make_fbeta(target: Target, name: str, beta: float, average: str, threshold: float) -> Metric:
    """The metric `name` (f1 or fbeta).

    Raises:
        PluginError: the target is a number, `samples` without label sets, or `binary` without two classes.
    """
    demand_classes(target, name)
    if average == "samples" and target.kind != "multilabel":
        raise PluginError(f"metric.average: samples is for sets of labels; {target.name!r} is {target.kind}: use micro")
    if average == "binary" and (target.kind == "multilabel" or target.width != 2):
        raise PluginError(f"metric.average: binary is for two classes; {target.name!r} is {target.kind}: use micro")
    if average == "samples":

        def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
            # Eight labels a byte: of thousands of labels, counting them takes longer than all the rest.
            said, there = np.packbits(predictions >= threshold, axis=1), np.packbits(answers >= 0.5, axis=1)
            rows = Counts(*(np.bitwise_count(bits).sum(axis=1, dtype=np.int64) for bits in (said & there, there, said)))
            return float(np.nan_to_num(measure_classes(rows, beta), nan=0.0).mean())

    else:

        def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
            return average_counts(target, name, count_decisions(target, answers, predictions, threshold), beta, average)

    return Metric(
        compute=compute,
        per_class=lambda answers, predictions: measure_classes(count_decisions(target, answers, predictions, threshold), beta),
    )


def average_counts(target: Target, name: str, counts: Counts, beta: float, average: str) -> float:
    """Raises: MetricUndefined: nothing is there and nothing was said."""
    if average == "binary":
        counts = Counts(*(numbers[1:] for numbers in counts))
    elif average == "micro":
        counts = Counts(*(numbers.sum(keepdims=True) for numbers in counts))
    scores = measure_classes(counts, beta)
    if average in ("binary", "micro") and np.isnan(scores[0]):
        what = repr(target.classes[1]) if average == "binary" else "a label"
        raise MetricUndefined(f"{name} of {target.name!r}: no scored unit has {what}, and none was predicted")
    if average == "weighted":
        if not counts.there.sum():
            raise MetricUndefined(f"{name} of {target.name!r}: no scored unit has a label")
        return float(np.average(np.nan_to_num(scores, nan=0.0), weights=counts.there))
    return float(np.nan_to_num(scores, nan=0.0).mean())
