"""Split `stratified`: every fold has every class in the proportion of the whole."""

from __future__ import annotations

from typing import Literal

import numpy as np

from comp.api import Units, plugin

from ._groups import demand_parts, number_parts, place_groups


@plugin("split")
def stratified(
    units: Units,
    /,
    *,
    folds: int = 5,
    group: str | None = None,
    by: list[str] | None = None,
    seed: int = 42,
    rare: Literal["spread", "train_only"] = "spread",
) -> np.ndarray:
    """Folds with the classes in the same proportions; with `group`, no group in two folds.

    Classes are dealt one after another, so that per fold each class and the whole differ by at most one unit (without
    `group`), and a class of n units stands in min(n, folds) folds.

    Args:
        folds: how many folds.
        group: column that names what must not be divided (patient, location, writer), or null.
        by: columns whose combinations are balanced instead of the classes, as in [gender, age_band]; null: the classes.
        seed: of the order in which units are dealt.
        rare: classes with fewer units (or groups) than folds: spread (held out like all others) or train_only (never held
            out; with `group`, where the whole group is of such classes).

    Raises:
        FoldsError: fewer units or groups than folds; no such column; `by` names none.

    Example: {use: stratified, folds: 5, group: patient, rare: train_only}
    """
    parts = number_parts(units, group)
    classes = units.strata if by is None else units.number_combinations(by)
    rare_units = find_rare(classes, parts, folds)
    held_out = np.ones(len(parts), dtype=bool)
    if rare == "train_only":
        common_parts = np.zeros(parts.max(initial=-1) + 1, dtype=bool)
        common_parts[parts[~rare_units]] = True
        held_out = common_parts[parts]
    kept = "" if held_out.all() else " that may be held out (split.rare: train_only)"
    demand_parts(folds, np.count_nonzero(np.bincount(parts[held_out])), group, kept)
    result = np.full(len(parts), -1, dtype=np.int64)
    if group is None:
        result[held_out] = deal_units(classes[held_out], folds, seed)
    else:
        # A class too rare for every fold cannot be balanced; as one class of their own they are at least spread together.
        strata = np.where(rare_units, -1, classes)
        result[held_out] = place_groups(strata[held_out], parts[held_out], folds, seed)
    return result


def find_rare(strata: np.ndarray, parts: np.ndarray, folds: int) -> np.ndarray:
    """(U,) bool: the unit's class stands in fewer different parts (units, or groups) than there are folds."""
    codes = np.unique(strata, return_inverse=True)[1]
    width = parts.max(initial=-1) + 1
    pairs = np.sort(codes * width + parts)
    counts = np.bincount(pairs[np.diff(pairs, prepend=-1) > 0] // max(1, width))
    return counts[codes] < folds


def deal_units(strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Sorted by class, in random order within a class, units are dealt to the folds in turn."""
    random = np.random.RandomState(seed)
    order = np.lexsort([random.permutation(len(strata)), strata])
    result = np.empty(len(strata), dtype=np.int64)
    result[order] = np.arange(len(strata)) % folds
    return result
