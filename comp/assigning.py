"""Assigning: the fold of every unit, asked of a split plugin once; units that come later join without moving the others.

Which file a table stands in, and whether it fits the tables, is folds' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp.api import Units
from comp.catalog import Catalog
from comp.errors import FoldsError
from comp.tables import name_few


def assign_table(catalog: Catalog, rule: Mapping[str, Any], units: Units) -> pd.DataFrame:
    """`id`, `fold` and, with several repeats, `repeat`: repeat r is divided with the seed plus r.

    Raises:
        FoldsError: the plugin refuses; its answer is not one fold a unit; repeats of a split that has no seed.
    """
    repeats = rule.get("repeats", 1)
    if repeats > 1 and "seed" not in rule:
        raise FoldsError(f"split.repeats is {repeats}, but {rule['use']!r} has no seed: all repeats would be the same; remove it")
    answers = [assign_folds(catalog, reseed(rule, repeat), units) for repeat in range(repeats)]
    counts = [int(answer.max(initial=-1)) + 1 for answer in answers]
    if len(set(counts)) > 1:
        raise FoldsError(f"split {rule['use']!r} made {counts} folds in its repeats; wanted as many in each")
    return join_repeats([pd.DataFrame({"id": units.table["id"], "fold": answer}) for answer in answers], counts[0])


def reseed(rule: Mapping[str, Any], repeat: int) -> Mapping[str, Any]:
    return {**rule, "seed": rule["seed"] + repeat} if repeat else rule


def count_repeats(table: pd.DataFrame) -> int:
    return int(table["repeat"].max()) + 1 if "repeat" in table else 1


def join_repeats(parts: list[pd.DataFrame], folds: int) -> pd.DataFrame:
    """One table of each repeat's, whose folds all count from 0."""
    if len(parts) == 1:
        return parts[0]
    shifted = [shift_folds(part, repeat * folds).assign(repeat=repeat) for repeat, part in enumerate(parts)]
    return pd.concat(shifted, ignore_index=True)


def part_repeats(table: pd.DataFrame, folds: int) -> list[pd.DataFrame]:
    """The inverse of join_repeats."""
    if "repeat" not in table:
        return [table]
    return [
        shift_folds(part[["id", "fold"]], -repeat * folds).reset_index(drop=True) for repeat, part in table.groupby("repeat")
    ]


def shift_folds(table: pd.DataFrame, by: int) -> pd.DataFrame:
    return table.assign(fold=table["fold"].where(table["fold"] < 0, table["fold"] + by))


def assign_folds(catalog: Catalog, rule: Mapping[str, Any], units: Units) -> np.ndarray:
    """(U,) int64, the plugin's answer, checked.

    Raises:
        FoldsError: the plugin refuses, or its answer is not one fold a unit.
    """
    answer = np.asarray(catalog.build("split", rule, units=units))
    if answer.shape != (len(units.table),) or answer.dtype.kind not in "iu" or (answer < -1).any():
        raise FoldsError(
            f"split {rule['use']!r} returned {answer.dtype} {answer.shape}; wanted int64 ({len(units.table)},), "
            "folds from 0 on, or -1 for units that are never held out"
        )
    return answer.astype(np.int64)


def add_units(catalog: Catalog, rule: Mapping[str, Any], units: Units, stored: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The stored table, then (in each repeat) the units that it lacks.

    A split without a seed (a column, a cut in time, a group each) says where they belong. Any other is not asked again, because
    its answer for all would move old ones: a new unit goes where its group is, else where its class is rarest; of a hold-out,
    its share is held out.

    Raises:
        FoldsError: a split without a seed now divides old units differently.
    """
    folds = (int(stored["fold"].max()) + 1) // count_repeats(stored)
    parts = [join_units(catalog, rule, units, part, path) for part in part_repeats(stored, folds)]
    return stored if all(len(part) * len(parts) == len(stored) for part in parts) else join_repeats(parts, folds)


def join_units(catalog: Catalog, rule: Mapping[str, Any], units: Units, stored: pd.DataFrame, path: Path) -> pd.DataFrame:
    old = pd.Series(stored["fold"].to_numpy(), index=stored["id"]).reindex(units.table["id"])
    is_new = old.isna().to_numpy()
    if not is_new.any():
        return stored
    if "seed" not in rule:
        answer = keep_numbers(assign_folds(catalog, rule, units), np.where(is_new, -2, old.fillna(-2)).astype(np.int64))
        moved = ~is_new & (answer != old.to_numpy())
        if moved.any():
            raise FoldsError(
                f"{path}: split {rule['use']!r} now gives {int(moved.sum())} units another fold than was stored "
                f"({name_few(units.table['id'][moved].tolist())}); scores would not compare. "
                f"Undo the change, or remove {path.name} and its .json"
            )
    else:
        folds = int(stored["fold"].max()) + 1
        group = rule.get("group")
        groups = units.table[group].to_numpy(dtype=object) if group in units.table else np.arange(len(is_new))
        answer = place_units(
            np.where(is_new, -2, old.fillna(-2)).astype(np.int64), find_balanced(units, rule), groups, folds, rule.get("share")
        )
    added = pd.DataFrame({"id": units.table["id"][is_new], "fold": answer[is_new]})
    return pd.concat([stored, added], ignore_index=True)


def find_balanced(units: Units, rule: Mapping[str, Any]) -> np.ndarray:
    """(U,) int64: what the split balances: the classes, or the combinations of the columns that its `by` names.

    Only a list of texts names columns: any other `by` is the plugin's own business.

    Raises:
        FoldsError: no such column.
    """
    by = rule.get("by")
    names_columns = isinstance(by, list) and by and all(isinstance(column, str) for column in by)
    return units.number_combinations(by) if names_columns else units.strata


def keep_numbers(answer: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The answer with its folds numbered as they are stored (-2: not stored there), each as most of its old units are.

    A new group may come before old ones in order; its fold gets a number that is free.
    """
    both = (answer >= 0) & (stored >= 0)
    pairs, counts = np.unique(np.stack([answer, stored])[:, both], axis=1, return_counts=True)
    numbers, free = {-1: -1}, set(range(len(answer) + int(stored.max()) + 1)) - set(stored.tolist())
    for fold, number in pairs[:, np.argsort(-counts, kind="stable")].T.tolist():
        if fold not in numbers and number not in numbers.values():
            numbers[fold] = number
    for fold in sorted(set(answer.tolist()) - set(numbers)):
        numbers[fold] = fold if fold in free else min(free)
        free.remove(numbers[fold])
    return np.array([numbers[fold] for fold in answer.tolist()], dtype=np.int64)


def place_units(
    fold_of: np.ndarray, strata: np.ndarray, groups: np.ndarray, folds: int, share: float | None = None
) -> np.ndarray:
    """Fill in the folds that are -2: by group, else where the stratum, then the whole, is smallest.

    A stratum of which all units are never held out (-1) stays so. With `share` (a hold-out: one fold), a unit is held out
    where its stratum otherwise has less than its share held out.
    """
    result = fold_of.copy()
    known = fold_of >= 0
    counts = np.zeros((int(strata.max()) + 1, folds), dtype=np.int64)
    np.add.at(counts, (strata[known], fold_of[known]), 1)
    seen = np.bincount(strata[fold_of != -2], minlength=len(counts))
    never = np.zeros(len(counts), dtype=bool)
    never[strata[fold_of == -1]] = True
    never &= counts.sum(axis=1) == 0
    sizes, fold_of_group = counts.sum(axis=0), dict(zip(groups[fold_of != -2], fold_of[fold_of != -2].tolist()))
    for unit in np.flatnonzero(fold_of == -2).tolist():
        stratum = strata[unit]
        fold = fold_of_group.get(groups[unit])
        if fold is None:
            if share is None:
                fold = -1 if never[stratum] else int(np.lexsort([sizes, counts[stratum]])[0])
            else:
                fold = 0 if counts[stratum, 0] + 0.5 <= share * (seen[stratum] + 1) else -1
            fold_of_group[groups[unit]] = fold
        result[unit] = fold
        seen[stratum] += 1
        if fold >= 0:
            counts[stratum, fold] += 1
            sizes[fold] += 1
    return result
