"""Confusion: what the out-of-fold predictions take for what. For targets of which each unit has one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comp.api import Target
from comp.report.answered import SINGLE_CLASS, Answered


@dataclass(frozen=True)
class Confusion:
    """One target's counts, of the pairs that occur: at K classes there may be K * K.

    Attributes:
        true, predicted: (P,) int64 positions of classes; the pairs are in order, each once.
        units: (P,) int64 how often.
    """

    target: Target
    true: np.ndarray
    predicted: np.ndarray
    units: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """(K,) int64: scored units of each class."""
        return self._sum(self.true, self.units)

    @property
    def given(self) -> np.ndarray:
        """(K,) int64: scored units that are taken for each class."""
        return self._sum(self.predicted, self.units)

    @property
    def hits(self) -> np.ndarray:
        """(K,) int64: both."""
        return self._sum(self.true, self.units * (self.true == self.predicted))

    def _sum(self, classes: np.ndarray, units: np.ndarray) -> np.ndarray:
        found = np.zeros(self.target.width, np.int64)
        np.add.at(found, classes, units)
        return found

    def matrix(self) -> np.ndarray:
        """(K, K) int64, row: true class, column: predicted class. For few classes."""
        found = np.zeros((self.target.width, self.target.width), np.int64)
        found[self.true, self.predicted] = self.units
        return found

    def confused_pairs(self, most: int) -> list[tuple[str, str, int]]:
        """(true, predicted, units) of what is wrong, the most frequent first."""
        wrong = np.flatnonzero(self.true != self.predicted)
        order = wrong[np.argsort(-self.units[wrong], kind="stable")[:most]]
        names = self.target.classes
        return [(names[self.true[i]], names[self.predicted[i]], int(self.units[i])) for i in order]

    def mostly_taken_for(self, position: int) -> str:
        """`cat (12)`: the commonest wrong answer for a class, or nothing."""
        start, end = np.searchsorted(self.true, [position, position + 1])
        units = np.where(self.predicted[start:end] == position, 0, self.units[start:end])
        return f"{self.target.classes[self.predicted[start + units.argmax()]]} ({units.max()})" if units.any() else ""


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def count_confusions(answers: Sequence[Answered]) -> list[Confusion]:
    """A Confusion for each target of one class per unit."""
    return [count_pairs(answered) for answered in answers if answered.target.kind in SINGLE_CLASS]


def count_pairs(answered: Answered) -> Confusion:
    width = answered.target.width
    taught = np.flatnonzero(answered.truth >= 0)  # an unlabelled unit has no true class
    codes = answered.truth[taught].astype(np.int64) * width + answered.values.argmax(axis=1)[taught]
    pairs, units = np.unique(codes, return_counts=True)
    return Confusion(answered.target, pairs // width, pairs % width, units)
