"""Fixes: `fixes.csv` of the workspace, which drops or relabels training rows. Where a row is scored, it keeps its label.

A line is row_id, action (drop | relabel), column, value, reason. It applies to the training part of each fold, and to `full`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import Task
from comp.competition import Competition, encode_targets
from comp.errors import DataError
from comp.project import hash_file
from comp.tables import name_few, raise_faults

FILE = "fixes.csv"
COLUMNS = ("row_id", "action", "column", "value", "reason")
ACTIONS = ("drop", "relabel")


@dataclass(frozen=True)
class Fixes:
    """What fixes.csv says of the training table.

    Attributes:
        dropped: row ids that are not trained on.
        labels: column -> row id -> its label in training.
        sha256: of the file.
    """

    dropped: frozenset[str]
    labels: Mapping[str, Mapping[str, str]]
    sha256: str

    @property
    def relabelled(self) -> int:
        """How many rows have another label in training."""
        return len({row for of_column in self.labels.values() for row in of_column} - self.dropped)

    def describe(self) -> str:
        return f"{FILE}: {len(self.dropped)} rows dropped, {self.relabelled} relabelled, where they are trained on"

    def encode(self, task: Task, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The targets that training sees, as encode_targets."""
        return encode_targets(task, self.relabel(table))

    def relabel(self, table: pd.DataFrame) -> pd.DataFrame:
        row_id, changed = table["row_id"], {}
        for column, of_column in self.labels.items():
            changed[column] = row_id.map(of_column).fillna(table[column]).astype(object)
        return table.assign(**changed)

    def kept(self, row_ids: np.ndarray) -> np.ndarray:
        """(N,) bool: the rows that are trained on."""
        return np.fromiter((row not in self.dropped for row in row_ids), bool, len(row_ids))


def read_fixes(root: Path, competition: Competition) -> Fixes | None:
    """fixes.csv of the workspace, checked against the training table; None where there is none.

    Raises:
        DataError: all faults at once, each with its line.
    """
    file = root / FILE
    if not file.is_file():
        return None
    try:
        lines = pd.read_csv(file, dtype=str, na_filter=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{FILE} cannot be read: {error}") from error
    absent = [column for column in COLUMNS[:2] if column not in lines]
    if absent:
        raise DataError(f"{FILE} has no column {name_few(absent)}; wanted {', '.join(COLUMNS)}")
    fixes, faults = sort_lines(lines.reindex(columns=list(COLUMNS), fill_value=""), competition, hash_file(file))
    raise_faults(faults)
    table = competition.tables.train
    raise_faults(find_strange_labels(fixes, competition.trained, table))
    if fixes.dropped >= set(table["row_id"]):
        raise DataError(f"{FILE} drops every training row")
    return fixes


def hash_fixes(root: Path) -> str | None:
    """SHA-256 of the workspace's fixes.csv; None where there is none."""
    return hash_file(root / FILE) if (root / FILE).is_file() else None


def sort_lines(lines: pd.DataFrame, competition: Competition, sha256: str) -> tuple[Fixes, list[str]]:
    columns = [column for target in competition.trained.targets for column in target.columns]
    known = set(competition.tables.train["row_id"])
    dropped, labels, faults = set(), {}, []
    for number, line in enumerate(lines.to_dict("records"), start=2):
        where, column = f"{FILE}:{number}", line["column"] or (columns[0] if len(columns) == 1 else "")
        if line["row_id"] not in known:
            faults.append(f"{where}: the training table has no row {line['row_id']!r}")
        elif line["action"] == "drop":
            dropped.add(line["row_id"])
        elif line["action"] != "relabel":
            faults.append(f"{where}: action is {line['action']!r}; wanted {' or '.join(ACTIONS)}")
        elif column not in columns:
            faults.append(f"{where}: column is {line['column']!r}; wanted one of the targets: {', '.join(columns)}")
        elif line["row_id"] in labels.setdefault(column, {}):
            faults.append(f"{where}: {line['row_id']!r} is given a second label of {column!r}")
        else:
            labels[column][line["row_id"]] = line["value"]
    return Fixes(frozenset(dropped), labels, sha256), faults


def find_strange_labels(fixes: Fixes, task: Task, table: pd.DataFrame) -> list[str]:
    """What of the new labels no row of the training table has."""
    changed = {row for of_column in fixes.labels.values() for row in of_column}
    try:
        fixes.encode(task, table[table["row_id"].isin(changed)].reset_index(drop=True))
    except DataError as error:
        return [f"{FILE}: {line}" for line in str(error).splitlines()[:-1]]
    return []
