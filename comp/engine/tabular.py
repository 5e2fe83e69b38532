"""Tabular features: a row's own columns (age, sex, site) as numbers beside its image, encoded anew in each fold."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from comp.competition import NUMBER
from comp.engine.rows import Rows
from comp.errors import DataError
from comp.formats import read_record
from comp.project import atomic_write

FORMAT = 1
FILE = "columns.json"
NUMERAL = re.compile(NUMBER)
MISSING = frozenset(["na", "n/a", "#n/a", "nan", "none", "null", "missing", "unknown", "?", "-"])
"""Words that stand in a column of numbers where there is none, in any case."""


@dataclass(frozen=True)
class TableEncoder:
    """What a fold's training rows said of each column.

    Attributes:
        numbers: column -> (mean, standard deviation, whether some rows have no value).
        classes: column -> its values, each of which is one feature; a value that is not among them is none of them.
    """

    numbers: dict[str, tuple[float, float, bool]]
    classes: dict[str, list[str]]

    @property
    def width(self) -> int:
        return sum(1 + missing for _, _, missing in self.numbers.values()) + sum(map(len, self.classes.values()))

    def encode(self, columns: pd.DataFrame) -> np.ndarray:
        """(N rows) of text -> (N, width) float32: numbers standardised (0 where there is none, and 1 in a feature of its own
        where the training rows lack some), other values one-hot.

        Raises:
            DataError: a column is missing, or holds no number where the training rows had one.
        """
        lacking = [name for name in (*self.numbers, *self.classes) if name not in columns]
        if lacking:
            raise DataError(f"the table has no column {', '.join(lacking)}, which the model takes beside the image")
        parts = [np.zeros((len(columns), 0), np.float32)]
        for name, (mean, spread, missing) in self.numbers.items():
            values = read_numbers(columns[name])
            absent = np.isnan(values)
            parts.append(np.where(absent, 0.0, (values - mean) / spread)[:, None])
            if missing:
                parts.append(absent[:, None])
        for name, known in self.classes.items():
            parts.append(columns[name].to_numpy(dtype=object)[:, None] == np.array(known, dtype=object))
        return np.hstack([part.astype(np.float32) for part in parts])


def fit_encoder(parts: Sequence[pd.DataFrame | None]) -> TableEncoder | None:
    """Look at the training rows of a fold, the first of `parts`. None where there are no columns.

    A column counts as numbers where in all parts, the held-out and test rows among them, most values are numbers and the others
    are empty or words that mean nothing is there (na, unknown, ...): of which kind it is must not depend on the fold. What is
    learned of its values is learned from the training rows alone.
    """
    columns = parts[0]
    if columns is None:
        return None
    numbers: dict[str, tuple[float, float, bool]] = {}
    classes: dict[str, list[str]] = {}
    for name in columns:
        given = columns[name][~is_missing(columns[name])]
        if len(given) and are_numbers(pd.concat([part[name] for part in parts if part is not None])):
            values = given.to_numpy(dtype=np.float64)
            numbers[name] = (float(values.mean()), float(values.std()) or 1.0, len(given) < len(columns))
        else:
            classes[name] = sorted(columns[name].unique())
    return TableEncoder(numbers, classes)


def are_numbers(values: pd.Series) -> bool:
    """Whether all that is not missing are numbers, and more of them than of words for what is missing."""
    missing, numeral = is_missing(values), is_numeral(values)
    words = missing.sum() - (values == "").sum()
    return bool((missing | numeral).all() and numeral.sum() >= words)


def is_missing(values: pd.Series) -> np.ndarray:
    """(N,) bool: empty, or a word for it."""
    return np.array([text == "" or text.strip().lower() in MISSING for text in values.tolist()], dtype=bool)


def is_numeral(values: pd.Series) -> np.ndarray:
    """(N,) bool."""
    return np.array([NUMERAL.fullmatch(text) is not None for text in values.tolist()], dtype=bool)


def describe_missing(parts: Sequence[pd.DataFrame | None]) -> list[str]:
    """A line on each column of numbers in which words stand for what is missing: how many, and which."""
    tables, lines = [part for part in parts if part is not None], []
    for name in tables[0] if tables else ():
        values = pd.concat([table[name] for table in tables])
        words = values[is_missing(values) & (values != "")]
        if len(words) and are_numbers(values):
            shown = ", ".join(map(repr, sorted(words.unique())[:3]))
            lines.append(f"{name} is a number: {len(words)} of {len(values)} rows have {shown} there, which counts as missing")
    return lines


def read_numbers(values: pd.Series) -> np.ndarray:
    """(N,) float64, NaN where missing."""
    missing, numeral = is_missing(values), is_numeral(values)
    wrong = ~missing & ~numeral
    if wrong.any():
        raise DataError(f"column {values.name!r} holds {values[wrong].iloc[0]!r}; the training rows have numbers there")
    numbers = np.full(len(values), np.nan)
    numbers[numeral] = values[numeral].to_numpy(dtype=np.float64)
    return numbers


def encode_rows(rows: Rows | None, encoder: TableEncoder | None) -> Rows | None:
    """The rows with `table` filled in."""
    if rows is None or encoder is None:
        return rows
    if rows.columns is None:
        raise DataError("these rows lack the columns that the model takes beside the image")
    return replace(rows, table=encoder.encode(rows.columns))


def write_encoder(folder: Path, encoder: TableEncoder) -> None:
    atomic_write(folder / FILE, json.dumps({"format": FORMAT, **asdict(encoder)}, ensure_ascii=False))


def read_encoder(folder: Path) -> TableEncoder | None:
    """What a fold was trained with; None where its model takes images alone.

    Raises:
        FormatError: a newer comp wrote it.
    """
    file = folder / FILE
    if not file.exists():
        return None
    record = read_record(file, FORMAT)
    return TableEncoder({name: tuple(values) for name, values in record["numbers"].items()}, record["classes"])
