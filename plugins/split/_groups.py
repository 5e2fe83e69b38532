"""What must not be divided: whole groups where a split names a column of them, else single units."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units


def read_groups(units: Units, group: str) -> tuple[np.ndarray, np.ndarray]:
    """(G,) the groups' names in order, and (U,) int64 the number of each unit's.

    Raises:
        FoldsError: no such column.
    """
    if group not in units.table:
        raise FoldsError(f"split.group: no column {group!r}; the training table has {', '.join(units.table.columns)}")
    names, numbers = np.unique(units.table[group].to_numpy(dtype=object), return_inverse=True)
    return names, numbers.astype(np.int64)


def number_parts(units: Units, group: str | None) -> np.ndarray:
    """(U,) int64: the number of each unit's group, or without groups its own."""
    return np.arange(len(units.table)) if group is None else read_groups(units, group)[1]


def demand_parts(folds: int, count: int, group: str | None, kept: str = "") -> None:
    """Raises FoldsError where there are fewer units (or groups) than folds. `kept`: which of them count, for the message."""
    what = "units" if group is None else f"groups ({group})"
    if not 2 <= folds <= count:
        raise FoldsError(f"split.folds is {folds}, but there are {count} {what}{kept}; 2 ≤ folds ≤ {what} is wanted")
