"""Divided: columns that look like groups which the folds divide, and classes that a fold lacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from comp.api import Tables, Task
from comp.audit.findings import Finding
from comp.competition import NUMBER, encode_targets, unit_table
from comp.folds import Folds
from comp.units import find_strata

NAMED = re.compile(
    r"(?:patient|subject|person|people|user|owner|writer|drawer|author|artist|photographer|group|site|location|place|camera|series"
    r"|study|sequence|clip|video|film|session|plate|batch|hospital|clinic|scanner|device|source|event|family|individual|whale)"
    r"(?:id|no|num|number|code)?"
)
"""The words for whom or where rows are of."""

NUMBERING = {"id", "no", "num", "number", "code"}
"""What may follow such a word."""

WORD = re.compile(r"[A-Z]*[a-z]+|[A-Z]+(?![a-z])")

FEWEST_VALUES = 10
LIFT = 0.1


@dataclass(frozen=True)
class GroupColumn:
    """A column whose values several units share.

    Attributes:
        values: how many there are.
        divided: of those of several units, the share that stand in several folds.
        same, chance: how often two units of one value have the same answer, and any two.
        known: the share of test rows whose value a training row has; None: the test table has no such column.
    """

    name: str
    values: int
    divided: float
    same: float
    chance: float
    known: float | None


def find_group_columns(tables: Tables, task: Task, folds: Folds) -> list[GroupColumn]:
    """Columns that may be groups, but for those that the folds keep together."""
    units = unit_table(tables)
    own = {"row_id", "id", "image", tables.weight, *tables.targets, *tables.auxiliary}
    own |= {column for target in task.targets for column in target.columns}
    strata, fold_of = find_strata(task, encode_targets(task, units)), folds.of(units["id"])
    found = [look_at_column(name, units, strata, fold_of, tables) for name in units if name not in own]
    return [column for column in found if column is not None and column.divided > 0]


def look_at_column(name: str, units: pd.DataFrame, strata: np.ndarray, fold_of: np.ndarray, tables: Tables) -> GroupColumn | None:
    """None where it is none: too few values, hardly any that two units share, or measurements."""
    texts = units[name].astype(str)
    numbers = texts[texts != ""]
    if numbers.str.fullmatch(NUMBER).all() and not (says_whom(name) and (numbers.astype(float) % 1 == 0).all()):
        return None
    filled = (texts != "").to_numpy()
    codes, names = pd.factorize(texts[filled])
    sizes = np.bincount(codes, minlength=1)
    shared = sizes[codes] > 1
    if len(names) < FEWEST_VALUES or shared.mean() < 0.5:
        return None
    several = pd.Series(fold_of[filled][shared]).groupby(codes[shared]).nunique() > 1
    known = None
    if tables.test is not None and name in tables.test:
        known = float(tables.test[name].astype(str).isin(set(names)).mean())
    same, chance = agree_within(codes, strata[filled])
    return GroupColumn(name, len(names), float(several.mean()), same, chance, known)


def says_whom(name: str) -> bool:
    """Whether a column of numbers is called as if these were names: `patient`, `user_id`, `siteNo`; not `user_age`."""
    words = [word.lower() for word in WORD.findall(name)]
    if len(words) > 1 and words[-1] in NUMBERING:
        words.pop()
    return bool(words) and NAMED.fullmatch(words[-1]) is not None


def agree_within(codes: np.ndarray, strata: np.ndarray) -> tuple[float, float]:
    """How often two units of the same code have the same stratum, and any two units."""
    joint = np.unique(codes.astype(np.int64) * (int(strata.max()) + 1) + strata, return_counts=True)[1]
    sizes, whole = np.bincount(codes), np.bincount(strata)
    pairs = [float((counts.astype(np.float64) * (counts - 1)).sum()) for counts in (joint, sizes, whole)]
    return pairs[0] / max(1.0, pairs[1]), pairs[2] / max(1.0, float(len(codes)) * (len(codes) - 1))


def judge_groups(columns: list[GroupColumn], rule: Mapping[str, Any]) -> list[Finding]:
    found = []
    for column in columns:
        text = f"column {column.name!r}: {column.values} values, {column.divided:.0%} of those of several units in several folds"
        if column.known is not None:
            text += f"; {column.known:.0%} of the test rows have one that is in the training table"
        if column.same - column.chance >= LIFT:
            text += f"; two units of one value have the same answer in {column.same:.0%} of cases, any two in {column.chance:.0%}"
        unknown = column.known is not None and column.known < 0.05
        telling = column.known is None and column.same - column.chance >= LIFT
        do = f"if the test set has others, keep them together: split.group: {column.name}"
        grave = (unknown or telling) and rule.get("group") is None
        found.append(Finding("warning" if grave else "note", "groups", text, do if grave else ""))
    return found


def judge_classes(tables: Tables, task: Task, folds: Folds) -> list[Finding]:
    """Classes with as many units as folds or more that are not held out, or not trained on, in some fold."""
    units = unit_table(tables)
    encoded, fold_of = encode_targets(task, units), folds.of(units["id"])
    found = []
    for target in task.targets:
        if target.kind == "regression":
            continue
        values = encoded[target.name]
        unit, label = np.nonzero(values > 0) if values.ndim == 2 else (np.arange(len(values)), values)
        counts = np.zeros((len(target.classes), folds.per_repeat + 1), np.int64)
        np.add.at(counts, (label, fold_of[unit] + 1), 1)
        total, held_out = counts.sum(axis=1), counts[:, 1:]
        common = (total >= folds.per_repeat) & (held_out.sum(axis=1) > 0)
        untrained = common & (held_out == total[:, None]).any(axis=1)
        unseen = common & (held_out == 0).any(axis=1) & ~untrained
        for lacking, level, what in (
            (untrained, "warning", "are held out in one fold whole, which then trains on none of them"),
            (unseen, "note", "are not held out in some folds"),
        ):
            if lacking.any():
                names = [f"{target.classes[place]} ({total[place]})" for place in np.flatnonzero(lacking)]
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                text = f"target {target.name}: {len(names)} classes {what}: {', '.join(names[:5])}{more}"
                found.append(Finding(level, "classes", text))  # type: ignore[arg-type]
    return found
