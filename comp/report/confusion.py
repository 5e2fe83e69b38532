"""Confusion: what the out-of-fold predictions take for what. For targets of which each unit has one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from comp.api import Target
from comp.predictions import Predictions, read_predictions

SINGLE_CLASS = ("binary", "multiclass", "ordinal", "ranking")


@dataclass(frozen=True)
class Confusion:
    """One target's counts. `counts`: (K, K) int64, row: true class, column: predicted class."""

    target: Target
    counts: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """(K,) int64: scored units of each class."""
        return self.counts.sum(axis=1)

    @property
    def recall(self) -> np.ndarray:
        """(K,) float64, NaN for a class without units."""
        return divide(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """(K,) float64, NaN for a class that is never predicted."""
        return divide(np.diag(self.counts), self.counts.sum(axis=0))

    def confused_pairs(self, most: int) -> list[tuple[str, str, int]]:
        """(true, predicted, units) off the diagonal, the most frequent first."""
        off = self.counts - np.diag(np.diag(self.counts))
        rows, columns = np.nonzero(off)
        order = np.argsort(-off[rows, columns], kind="stable")[:most]
        names = self.target.classes
        return [(names[rows[i]], names[columns[i]], int(off[rows[i], columns[i]])) for i in order]

    def mostly_taken_for(self, position: int) -> str:
        """`cat (12)`: the commonest wrong answer for a class, or nothing."""
        row = self.counts[position].copy()
        row[position] = 0
        return f"{self.target.classes[row.argmax()]} ({row.max()})" if row.any() else ""


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def count_confusions(oof: Path, ids: Sequence[str], targets: Mapping[str, np.ndarray]) -> list[Confusion]:
    """A Confusion for each target of one class per unit, over the units that `oof` scores; joined by id.

    Args:
        oof: the run's oof.parquet.
        ids: (U,) of the units whose truth is known.
        targets: target name -> (U,) int64 class positions; other kinds of target are left out.
    """
    predictions = read_predictions(oof)
    place = {unit: position for position, unit in enumerate(ids)}
    known = np.array([position for position, unit in enumerate(predictions.ids) if unit in place], dtype=np.int64)
    truth = np.array([place[predictions.ids[position]] for position in known], dtype=np.int64)
    found = []
    for target in predictions.task.targets:
        if target.kind in SINGLE_CLASS and target.name in targets:
            found.append(Confusion(target, count_pairs(predictions, target, known, np.asarray(targets[target.name])[truth])))
    return found


def count_pairs(predictions: Predictions, target: Target, known: np.ndarray, truth: np.ndarray) -> np.ndarray:
    values = predictions.values[known, predictions.task.slices[target.name]]
    width = target.width
    taught = truth >= 0  # an unlabelled unit has no true class
    flat = truth[taught].astype(np.int64) * width + values[taught].argmax(axis=1)
    return np.bincount(flat, minlength=width * width).reshape(width, width)
