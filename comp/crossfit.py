"""Cross-fitting: which rows a rule may learn from, so that it is scored on rows whose answers it never saw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

PARTS = 5
"""Of a run that held out one fold only, into how many parts its rows are divided for this."""


def split_rows(ids: np.ndarray, fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(fitted, held out), (N,) bool each: every fold once, against the others.

    A single fold (a hold-out, or a run of which one fold is done) is divided into parts by a hash of the ids, so that the
    order of the rows does not matter. One row alone is fitted on itself: there is nothing else.

    Args:
        ids: (N,) text.
        fold: (N,) int64.
    """
    folds = np.unique(fold)
    parts = fold if len(folds) > 1 else np.array([_hash(unit) % PARTS for unit in ids], dtype=np.int64)
    for part in np.unique(parts):
        held_out = parts == part
        yield (held_out if held_out.all() else ~held_out), held_out


def choose_sample(ids: np.ndarray, count: int) -> np.ndarray:
    """(N,) bool: about `count` of the rows, the same whatever their order; all where there are no more."""
    if len(ids) <= count:
        return np.ones(len(ids), dtype=bool)
    marks = np.array([_hash(unit) for unit in ids], dtype=np.uint64)
    return marks < np.partition(marks, count)[count]


def _hash(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(str(unit).encode(), digest_size=8).digest(), "little")
