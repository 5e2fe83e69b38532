"""Split `plain`: units are dealt at random, whatever their classes."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin


@plugin("split")
def plain(units: Units, /, *, folds: int = 5, seed: int = 42) -> np.ndarray:
    """Folds of equal size (± one unit), at random.

    Args:
        folds: how many folds.
        seed: of the order in which units are dealt.

    Raises:
        FoldsError: fewer units than folds.

    Example: {use: plain, folds: 5, seed: 42}
    """
    count = len(units.table)
    if not 2 <= folds <= count:
        raise FoldsError(f"split.folds is {folds}, but there are {count} units; 2 ≤ folds ≤ units is wanted")
    return np.random.RandomState(seed).permutation(count).astype(np.int64) % folds
