"""Formulas: columns that are worked out of a table's own by formulas, as in `age_band = (age >= 30) + (age >= 60)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from comp.api import DataError, read_formula

KIT_COLUMNS = ("row_id", "id", "image")
WANTED = "wanted name = a formula, as in age_band = (age >= 30) + (age >= 60)"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")


@dataclass(frozen=True)
class Formulas:
    """Attributes:
    texts: as in dataset.derive. A later one may name an earlier column.
    kinds: column -> `number` or `text`, as the first table in which it was named shows it: so it is read in all others.
    """

    texts: tuple[str, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)

    def derive(self, table: pd.DataFrame, name: str, *, partly: bool = False) -> pd.DataFrame:
        """The table with a column for each formula, text like all others; true is 1.

        A column of numbers alone counts as numbers, any other as text to compare with.

        Args:
            name: the table's, for messages.
            partly: whether formulas over columns that it lacks are left out.

        Raises:
            DataError: no formula, a name that is no column, a column that is there already, or a cell that is no number.
        """
        for text in self.texts:
            column, formula = split_formula(text)
            found = self._work_out(table, formula, text, name, partly)
            if found is None:
                continue
            if column in table or column in KIT_COLUMNS:
                raise DataError(f"dataset.derive makes a column {column!r}, which {name} has already, or the kit itself uses")
            table = table.assign(**{column: found})
        return table

    def demand_unlike(self, columns: Sequence[str], answers: Sequence[str]) -> None:
        """Raises DataError: what a model is given is an answer, or worked out of one, directly or by way of others."""
        sources: dict[str, set[str]] = {}
        for column, formula in map(split_formula, self.texts):
            names = read_formula(formula).names
            sources[column] = {*names, *(source for name in names for source in sources.get(name, ()))}
        for column in columns:
            if seen := sorted({column, *sources.get(column, ())} & set(answers)):
                how = "is a target or auxiliary" if column in seen else f"is worked out of {seen[0]!r}, a target or auxiliary"
                raise DataError(f"dataset.columns: {column!r} {how}: the model would be told the answer; remove it from columns")

    def _work_out(self, table: pd.DataFrame, formula: str, text: str, name: str, partly: bool) -> list[str] | None:
        try:
            read = read_formula(formula)
            absent = [column for column in read.names if column not in table]
            if absent and partly:
                return None
            if absent:
                raise ValueError(f"{name} has no column {absent[0]!r}; it has {', '.join(map(repr, table.columns))}")
            found = read.evaluate({column: self._read_column(table[column], name) for column in read.names})
        except ValueError as error:
            raise DataError(f"dataset.derive, {text!r}: {error}") from error
        cells = np.broadcast_to(np.asarray(found), len(table)).tolist()
        return [cell if isinstance(cell, str) else str(int(cell) if cell == int(cell) else cell) for cell in cells]

    def _read_column(self, cells: pd.Series, name: str) -> np.ndarray:
        """(N,) objects that are int, or float64, of a column of numbers, else the texts as objects.

        Raises:
            ValueError: a cell that is no number, where the first table has only numbers; or one too large for float64.
        """
        texts = cells.tolist()
        strange = next((row for row, cell in enumerate(texts) if not NUMBER.fullmatch(cell)), None)
        if texts:
            self.kinds.setdefault(cells.name, "text" if strange is not None else "number")
        if self.kinds.get(cells.name) != "number":
            return cells.to_numpy(dtype=object)
        if strange is not None:
            raise ValueError(
                f"{cells.name!r} holds numbers in the training table; in {name}, data row {strange + 1}, it is {texts[strange]!r}"
            )
        whole = [WHOLE.fullmatch(cell) for cell in texts]
        if all(whole):
            return np.array([int(match[1]) for match in whole if match], dtype=object)
        numbers = np.array([float(cell) for cell in texts])
        if not np.isfinite(numbers).all():
            raise ValueError(f"{cells.name!r} of {name} holds a number that is too large")
        return numbers


def split_formula(text: str) -> tuple[str, str]:
    """The new column and its formula. Raises: DataError: it is none."""
    column, _, formula = (part.strip() for part in text.partition("="))
    if not column.isidentifier() or not formula or formula.startswith("="):
        raise DataError(f"dataset.derive has {text!r}; {WANTED}")
    return column, formula
