"""Split `holdout`: one part is held out, the rest trains; one training instead of K."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin

from ._groups import number_parts


@plugin("split")
def holdout(units: Units, /, *, share: float = 0.2, group: str | None = None, seed: int = 42) -> np.ndarray:
    """One fold: a share of each class is held out (0), the others are never held out (-1).

    Units go class by class, in random order within one, and every so many-th is held out: each class and the whole are
    within one unit of their share. With `group` whole groups go, each as of the class of its first unit, and the whole is within
    half the largest group of its share.

    Args:
        share: share of the units that is held out, in (0, 1).
        group: column that names what must not be divided (patient, location, writer), or null.
        seed: of the choice, from 0.

    Raises:
        FoldsError: no such column; a share out of its range, or one that holds out nothing or everything.

    Example: {use: holdout, share: 0.2, group: patient, seed: 0}
    """
    if not 0 < share < 1:
        raise FoldsError(f"split.share is {share}; wanted a share in (0, 1)")
    parts = number_parts(units, group)
    first, sizes = np.unique(parts, return_index=True, return_counts=True)[1:]
    order = np.lexsort([np.random.RandomState(seed).permutation(len(first)), units.strata[first]])
    held_out = np.zeros(len(first), dtype=bool)
    owed = 0.0
    for part in order.tolist():
        owed += share * sizes[part]
        # Half a part's size, less what 0.1 lacks as a binary fraction.
        if owed >= sizes[part] / 2 - 1e-9:
            held_out[part] = True
            owed -= sizes[part]
    if held_out.all() or not held_out.any():
        raise FoldsError(
            f"split.share: {share} of {len(units.strata)} units ({len(first)} parts that cannot be divided) is "
            f"{'all' if held_out.all() else 'none'} of them"
        )
    return np.where(held_out[parts], 0, -1).astype(np.int64)
