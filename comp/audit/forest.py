"""Forest: which pictures are joined already, so that of many that look the same only the pairs that join them are kept."""

from __future__ import annotations

import numpy as np


class Forest:
    """A spanning forest of pictures, which grows by pairs.

    Training pictures are joined among themselves, too, as if there were no others: what a chain through a test picture joins
    says nothing of the labels at its ends.

    Attributes:
        ours: pictures below it are of the training set.
        pairs: those that joined two parts.
    """

    def __init__(self, count: int, ours: int) -> None:
        self.ours = ours
        self.pairs: list[tuple[int, int]] = []
        self._whole, self._own = np.arange(count), np.arange(ours)

    def lacks(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the pairs would join two parts."""
        found = self._whole[first] != self._whole[second]
        both = (first < self.ours) & (second < self.ours)
        found[both] = self._own[first[both]] != self._own[second[both]]
        return found

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            apart = _unite(self._whole, one, other)
            if one < self.ours and other < self.ours:
                apart = _unite(self._own, one, other)
            if apart:
                self.pairs.append((one, other))
        for parents in (self._whole, self._own):
            while (parents != (roots := parents[parents])).any():
                parents[:] = roots


def _unite(parents: np.ndarray, one: int, other: int) -> bool:
    """Whether they were apart."""
    one, other = _find_root(parents, one), _find_root(parents, other)
    parents[max(one, other)] = min(one, other)
    return one != other


def _find_root(parents: np.ndarray, place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = int(parents[place])
    return place
