"""Split `binned`: every fold has small and large values in the proportion of the whole, for regression."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from comp.api import FoldsError, Units, plugin

from ._groups import demand_parts, number_parts, place_groups


@plugin("split")
def binned(
    units: Units, /, *, column: str | None = None, bins: int = 10, folds: int = 5, group: str | None = None, seed: int = 42
) -> np.ndarray:
    """Folds stratified over quantile bins of a number (scikit-learn's StratifiedKFold, with `group` as its
    StratifiedGroupKFold).

    Equal values are never divided, so that a column of few values has fewer bins.

    Args:
        column: column of numbers; null: the target that is a number.
        bins: how many bins of equally many units, from 2.
        folds: how many folds.
        group: column that names what must not be divided (patient, location, writer), or null.
        seed: of the order in which units are dealt, from 0.

    Raises:
        FoldsError: no such column; a value that is no number; no target that is a number, or several; fewer bins than 2, or
            more than would have a unit for each fold; fewer units (or groups) than folds.

    Example: {use: binned, column: age, bins: 10, folds: 5, group: patient}
    """
    if bins < 2:
        raise FoldsError(f"split.bins is {bins}; wanted 2 or more")
    values = read_values(units, column)
    parts = number_parts(units, group)
    demand_parts(folds, int(parts.max(initial=-1)) + 1, group)
    if bins * folds > len(values):
        raise FoldsError(f"split.bins is {bins}, but {len(values)} units in {folds} folds fill {len(values) // folds} at most")
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    codes = np.searchsorted(edges, values, side="left")
    if group is not None:
        return place_groups(codes, parts, folds, seed)
    result = np.empty(len(values), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(splitter.split(codes, codes)):
            result[held_out] = fold
    return result


def read_values(units: Units, column: str | None) -> np.ndarray:
    """(U,) float64, the numbers to divide by."""
    if column is None:
        if units.values.shape[1] != 1:
            raise FoldsError(
                f"split.column: {units.values.shape[1]} targets are numbers; name the column to divide by, or use stratified"
            )
        return units.values[:, 0]
    if column not in units.table:
        raise FoldsError(f"split.column: no column {column!r}; the training table has {', '.join(units.table.columns)}")
    values = pd.to_numeric(units.table[column], errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise FoldsError(
            f"split.column: {column!r} of {units.table['id'].iloc[wrong[0]]} is {units.table[column].iloc[wrong[0]]!r}, not a "
            f"number ({len(wrong)} such units)"
        )
    return values
