"""What must not be divided: whole groups where a split names a column of them, else single units; and groups dealt to folds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from comp.api import FoldsError, Units

BLOCK_CELLS = 2**20


def read_groups(units: Units, group: str) -> tuple[np.ndarray, np.ndarray]:
    """(G,) the groups' names in order, and (U,) int64 the number of each unit's.

    Raises:
        FoldsError: no such column.
    """
    if group not in units.table:
        raise FoldsError(f"split.group: no column {group!r}; the training table has {', '.join(units.table.columns)}")
    numbers, names = pd.factorize(units.table[group].to_numpy(dtype=object), sort=True)
    return names, numbers.astype(np.int64)


def number_parts(units: Units, group: str | None) -> np.ndarray:
    """(U,) int64: the number of each unit's group, or without groups its own."""
    return np.arange(len(units.table)) if group is None else read_groups(units, group)[1]


def demand_parts(folds: int, count: int, group: str | None, kept: str = "") -> None:
    """Raises FoldsError where there are fewer units (or groups) than folds. `kept`: which of them count, for the message."""
    what = "units" if group is None else f"groups ({group})"
    if not 2 <= folds <= count:
        raise FoldsError(f"split.folds is {folds}, but there are {count} {what}{kept}; 2 ≤ folds ≤ {what} is wanted")


def place_groups(classes: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(U,) int64 folds with the classes (U,) in the same proportions, and no group (U,) in two of them.

    The folds of scikit-learn's StratifiedGroupKFold, bit by bit: groups of the most uneven counts come first, each goes where
    the classes' shares then spread least over the folds. The library holds every group's counts of all classes at once (a
    million units, 200,000 groups, 10,000 classes: 16 GB) and looks at all classes for each group and fold; this only at those
    that a group has.
    """
    names, groups = np.unique(groups, return_inverse=True)
    # Groups are renumbered at random by us: with shuffle=True some versions of scikit-learn lose the stratification.
    groups = np.random.RandomState(seed).permutation(len(names))[groups]
    classes = np.unique(classes, return_inverse=True)[1]
    sizes = np.bincount(classes)
    pairs, counts = np.unique(groups * len(sizes) + classes, return_counts=True)
    group_of, class_of = np.divmod(pairs, len(sizes))
    starts = np.searchsorted(group_of, np.arange(len(names) + 1))
    held, spread, units = np.zeros((folds, len(sizes))), np.zeros((folds, len(sizes))), np.zeros(folds)
    result, each = np.empty(len(names), dtype=np.int64), np.arange(folds)
    for group in np.argsort(-measure_unevenness(group_of, class_of, counts, starts, len(sizes)), kind="stable").tolist():
        own = slice(starts[group], starts[group + 1])
        mine, more = class_of[own], counts[own]
        shares = np.repeat(held[None][:, :, mine], folds, axis=0)  # (fold that takes it, fold, class)
        shares[each, each] += more
        spread[:, mine] = measure_spread(shares / sizes[mine])
        fold = choose_fold(spread.mean(axis=1).tolist(), units)
        held[fold, mine] += more
        units[fold] += more.sum()
        spread[:, mine] = spread[fold, mine]
        result[group] = fold
    return result[groups]


def measure_unevenness(
    group_of: np.ndarray, class_of: np.ndarray, counts: np.ndarray, starts: np.ndarray, width: int
) -> np.ndarray:
    """(G,) the standard deviation of each group's counts over all classes."""
    found, step = np.empty(len(starts) - 1), max(1, BLOCK_CELLS // width)
    for first in range(0, len(found), step):
        last = min(len(found), first + step)
        part, block = slice(starts[first], starts[last]), np.zeros((last - first, width))
        block[group_of[part] - first, class_of[part]] = counts[part]
        found[first:last] = block.std(axis=1)
    return found


def measure_spread(shares: np.ndarray) -> np.ndarray:
    """(A, C) standard deviations of (A, folds, C) over the folds, which are added up one after another whatever the shape."""
    centred = shares - (sum_folds(shares) / shares.shape[1])[:, None]
    return np.sqrt(sum_folds(centred * centred) / shares.shape[1])


def sum_folds(values: np.ndarray) -> np.ndarray:
    total = values[:, 0].copy()
    for fold in range(1, values.shape[1]):
        total += values[:, fold]
    return total


def choose_fold(spreads: list[float], units: np.ndarray) -> int:
    """Where the spread is least; where it is about as small, and the fold has fewer units, there."""
    best, least = 0, spreads[0]
    for fold, spread in enumerate(spreads[1:], 1):
        close = abs(spread - least) <= 1e-8 + 1e-5 * abs(least)
        if spread < least or (close and units[fold] < units[best]):
            best, least = fold, spread
    return best
