"""Order: whether the ids, or their order, say what the answers are. No model sees ids; whoever numbered the pictures did."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from comp.api import Tables, Task
from comp.audit.findings import Finding, Level
from comp.competition import encode_targets, unit_table
from comp.tables import name_few
from comp.units import find_strata

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.S)
"""The last number of an id, and what stands around it."""

FEWEST = 30
LIFT = 0.1
"""By how much more often than by chance neighbours have the same answer, before it is told."""

SURE = 6.0
"""Standard errors."""


@dataclass(frozen=True)
class Series:
    """Units whose ids differ in a number alone, in its order.

    Attributes:
        name: what the ids look like, as in `img_#.jpg`.
        places: (S,) int64 their positions in the table.
        numbers: (S,) float64, rising.
    """

    name: str
    places: np.ndarray
    numbers: np.ndarray


def judge_ids(tables: Tables, task: Task) -> list[Finding]:
    """Ids in both tables; ids whose order goes with the answers; test ids between training ids."""
    units = unit_table(tables)
    strata = find_strata(task, encode_targets(task, units))
    tests = [] if tables.test is None else tables.test["id"].unique().tolist()
    found = list(_judge_overlap(units["id"], tests))
    numbered = pd.DataFrame([read_number(text) for text in tests], columns=["name", "number"])
    asked = {name: part.to_numpy(np.float64) for name, part in numbered.groupby("name")["number"]}
    told: dict[Level, list[Finding]] = {}
    for series in list_series(units["id"].tolist()):
        for finding in _judge_series(series, strata[series.places], asked.get(series.name, np.empty(0))):
            told.setdefault(finding.level, []).append(finding)
    return found + [_gather(findings) for findings in told.values()]


def _gather(findings: list[Finding]) -> Finding:
    """One for all series that the same is said of."""
    if len(findings) == 1:
        return findings[0]
    return replace(findings[0], text=f"{len(findings)} series of ids, as {findings[0].text}")


def _judge_overlap(train: pd.Series, tests: list[str]) -> list[Finding]:
    both = sorted(set(train) & set(tests))
    if not both:
        return []
    text = f"{len(both)} ids stand in the training table and in the test set: {name_few(both)}"
    return [Finding("note", "ids", text, "where they are the same pictures, their answers are known")]


def read_number(text: str) -> tuple[str, float | None]:
    """`img_0012.jpg` -> (`img_#.jpg`, 12): the last number in it; None where there is none."""
    parts = NUMBERED.fullmatch(text)
    return (f"{parts[1]}#{parts[3]}", float(parts[2])) if parts else (text, None)


def list_series(ids: list[str]) -> list[Series]:
    """Every series of FEWEST ids or more."""
    table = pd.DataFrame([read_number(text) for text in ids], columns=["name", "number"])
    found = []
    for name, part in table.dropna().groupby("name", sort=True):
        if len(part) >= FEWEST:
            rising = part.sort_values("number", kind="stable")
            found.append(Series(str(name), rising.index.to_numpy(np.int64), rising["number"].to_numpy(np.float64)))
    return found


def measure_runs(codes: np.ndarray) -> tuple[float, float, float]:
    """How often neighbours have the same code, how often they would in random order, and the excess in standard errors.

    For counts n of N, neighbours agree with probability sum n (n - 1) / (N (N - 1)); N - 1 pairs are taken for independent.
    """
    total, counts = len(codes), np.bincount(codes).astype(np.float64)
    chance = float((counts * (counts - 1)).sum() / (total * (total - 1)))
    same = float((codes[1:] == codes[:-1]).mean())
    error = (max(chance * (1 - chance), 1e-12) / (total - 1)) ** 0.5
    return same, chance, (same - chance) / error


def _judge_series(series: Series, codes: np.ndarray, asked: np.ndarray) -> list[Finding]:
    """`asked`: the numbers of the test ids that look the same. Where one is a training number, too, each table counts anew."""
    same, chance, sure = measure_runs(codes)
    if same - chance < LIFT or sure < SURE:
        return []
    what = f"ids {series.name}: neighbours in their order have the same answer in {same:.0%} of cases, by chance in {chance:.0%}"
    runs, classes = int((codes[1:] != codes[:-1]).sum()) + 1, len(np.unique(codes))
    between = float(((asked > series.numbers[0]) & (asked < series.numbers[-1])).mean()) if len(asked) else 0.0
    if between > 0.5 and not np.isin(asked, series.numbers).any():
        text = f"{what}, and {between:.0%} of the test ids lie among them"
        return [Finding("leak", "order", text, "the order says what the test answers are; a hidden test set may not")]
    if runs <= 2 * classes:
        return [Finding("note", "order", f"ids {series.name} are numbered class by class")]
    do = "if they come in series (a film, a place, a patient), folds are to keep each together: split.group"
    return [Finding("warning", "order", what, do)]
