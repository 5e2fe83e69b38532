"""What metrics of classes and label sets share: which targets they take, and decisions from probabilities.

A unit's class is its likeliest (of equals the first); a label is set from a threshold on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from comp.api import MetricUndefined, PluginError, Target

MOST_BYTE = 255


class Counts(NamedTuple):
    """(width,) int64 each, by class or label: found and there, there, said to be there."""

    hits: np.ndarray
    there: np.ndarray
    said: np.ndarray


def demand_classes(target: Target, name: str) -> None:
    """Raises: PluginError: the target is a number."""
    if target.kind == "regression":
        raise PluginError(f"metric {name} wants classes; {target.name!r} is a number: use rmse")


def demand_single(target: Target, name: str, instead: str) -> None:
    """Raises: PluginError: the target is a number or a set of labels; `instead`: what to use for such a set."""
    demand_classes(target, name)
    if target.kind == "multilabel":
        raise PluginError(f"metric {name} wants one class per unit; {target.name!r} is a set of labels: use {instead}")


def demand_binary(target: Target, name: str, instead: str) -> None:
    """Raises: PluginError: the target has not two classes; `instead`: what to use for more."""
    demand_single(target, name, instead)
    if target.width != 2:
        raise PluginError(f"metric {name} wants two classes; {target.name!r} has {target.width}: use {instead}")


def demand_sets(target: Target, name: str, instead: str) -> None:
    """Raises: PluginError: the target is no set of labels; `instead`: what to use for one class per unit."""
    if target.kind != "multilabel":
        use = "rmse" if target.kind == "regression" else instead
        raise PluginError(f"metric {name} wants sets of labels; {target.name!r} is {target.kind}: use {use}")


def mark_positives(target: Target, answers: np.ndarray) -> np.ndarray:
    """(N, width) bool: which classes or labels are there."""
    return answers >= 0.5 if target.kind == "multilabel" else answers[:, None] == np.arange(target.width)


def count_decisions(target: Target, answers: np.ndarray, predictions: np.ndarray, threshold: float) -> Counts:
    if target.kind == "multilabel":
        return count_labels(answers, predictions, threshold)
    said = predictions.argmax(axis=1)
    return Counts(*(np.bincount(numbers, minlength=target.width) for numbers in (answers[said == answers], answers, said)))


def count_labels(answers: np.ndarray, predictions: np.ndarray, threshold: float) -> Counts:
    """Rows at a time of which a byte can hold the counts: of thousands of labels four times as fast as whole columns."""
    counts = Counts(*np.zeros((3, predictions.shape[1]), dtype=np.int64))
    for start in range(0, len(predictions), MOST_BYTE):
        rows = slice(start, start + MOST_BYTE)
        said, there = predictions[rows] >= threshold, answers[rows] >= 0.5
        for total, marks in zip(counts, (said & there, there, said), strict=True):
            total += marks.sum(axis=0, dtype=np.uint8)
    return counts


def rank_answers(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(N,) int: the rank of the right class among the unit's probabilities, from 1; of equals the first class ranks first."""
    own = np.take_along_axis(predictions, answers[:, None], axis=1)
    ties = (predictions == own) & (np.arange(predictions.shape[1]) < answers[:, None])
    return 1 + ((predictions > own) | ties).sum(axis=1)


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Their quotient, NaN where `below` is 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 0)


def demand_defined(target: Target, name: str, units: int, names: Sequence[str], scores: np.ndarray, why: str) -> None:
    """Raises: MetricUndefined: a column's score is NaN; names the columns."""
    without = [column for column, score in zip(names, scores, strict=True) if np.isnan(score)]
    if without:
        shown = ", ".join(map(repr, without[:5])) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        raise MetricUndefined(f"{name} of {target.name!r}: among {units} scored units column {shown} has {why}")
