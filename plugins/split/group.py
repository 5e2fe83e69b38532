"""Split `group`: whole groups (patients, locations, writers) are held out; folds are of about equal size."""

from __future__ import annotations

import heapq

import numpy as np

from comp.api import FoldsError, Units, plugin

from ._groups import read_groups


@plugin("split")
def group(units: Units, /, *, group: str, folds: int = 5, seed: int = 42) -> np.ndarray:
    """Folds that never divide a group: the largest group first, each to the fold that is the smallest so far.

    Args:
        group: column that names the groups.
        folds: how many folds.
        seed: of the order among groups of the same size.

    Raises:
        FoldsError: no such column; fewer groups than folds.

    Example: {use: group, group: patient, folds: 5, seed: 42}
    """
    names, codes = read_groups(units, group)
    sizes = np.bincount(codes)
    if not 2 <= folds <= len(names):
        raise FoldsError(f"split.folds is {folds}, but {group!r} has {len(names)} groups; 2 ≤ folds ≤ groups is wanted")
    random = np.random.RandomState(seed)
    fold_of_group = np.empty(len(names), dtype=np.int64)
    smallest = [(0, place, fold) for place, fold in enumerate(random.permutation(folds).tolist())]
    for position in np.lexsort([random.permutation(len(names)), -sizes]).tolist():
        size, place, fold = smallest[0]
        heapq.heapreplace(smallest, (size + int(sizes[position]), place, fold))
        fold_of_group[position] = fold
    return fold_of_group[codes]
