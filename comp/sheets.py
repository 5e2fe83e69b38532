"""Sheets: the tables of a competition as text, and which places hold the images that their columns name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from comp.listing import Listing, Place, rank_places

LOOKED = 200
MOST_SHOWN = 8


@dataclass
class Sheets:
    """The tables of a competition, every cell text.

    Attributes:
        bands: columns of pictures, which the frames lack.
        found: what the places hold, by part and column, so that each column is looked up once.
        faults: file -> why it could not be read.
        units: what the sample's ids begin with, where they end in names of columns.
        long: what joins units and labels, the column of flags, and the labels, where the training table had a row for each.
    """

    data: Path
    listing: Listing
    train: pd.DataFrame
    test: pd.DataFrame | None
    sample: pd.DataFrame | None
    names: dict[str, str | None]
    bands: tuple[str, ...] = ()
    found: dict[tuple[str, str], list[Place]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    units: pd.Series | None = None
    long: tuple[str, str, list[str]] | None = None

    def places(self, part: str, table: pd.DataFrame, column: str) -> list[Place]:
        if (part, column) not in self.found:
            self.found[part, column] = rank_places(self.listing, part, pick(name_rows(table, column)))
        return self.found[part, column]

    def best_share(self, column: str) -> float:
        """How many of the training images a column names."""
        places = self.places("train", self.train, column)
        return places[0].share if places else 0.0

    def tests_named(self, column: str) -> float:
        """How many of the test images a column names; 1 where no test table has it, so that nothing speaks against it."""
        if self.test is None or column not in self.test:
            return 1.0
        places = self.places("test", self.test, column)
        return places[0].share if places else 0.0

    def list_tests(self, column: str) -> list[str] | None:
        """The test ids; None where nothing lists them."""
        if self.test is not None and name_columns(column, self.test) <= set(self.test):
            return name_rows(self.test, column).tolist()
        ids = self.units if self.units is not None or self.sample is None else self.sample.iloc[:, 0]
        return None if ids is None else ids.tolist()


def pick(values: pd.Series) -> list[str]:
    """Some values, evenly spread."""
    return values.iloc[:: max(1, len(values) // LOOKED)].tolist()


def name_rows(table: pd.DataFrame, column: str) -> pd.Series:
    """A column's values, or those of a template of columns (`{patient}_{side}`)."""
    if column in table or "{" not in column:
        return table[column]
    parts = re.split(r"\{([^{}]+)\}", column)
    texts = [table[part] if number % 2 else part for number, part in enumerate(parts) if part or number % 2]
    joined = pd.Series("", index=table.index, dtype=object)
    for text in texts:
        joined = joined + text
    return joined


def name_columns(column: str | None, table: pd.DataFrame) -> set[str]:
    """The columns that are meant: the one, or those of a template."""
    return set() if column is None else {column} if column in table else set(re.findall(r"\{([^{}]+)\}", column)) or {column}


def list_columns(table: pd.DataFrame) -> str:
    more = len(table.columns) - 3 * MOST_SHOWN
    return f"The columns are {', '.join(table.columns[: 3 * MOST_SHOWN])}" + (f" and {more} more" if more > 0 else "")
