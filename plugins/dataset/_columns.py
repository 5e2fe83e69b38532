"""Columns: which columns of a table say what a row is called, where its images lie and what the answer is; and stacked rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from comp.api import STACK, DataError

from ._places import name_few

KIT_COLUMNS = ("row_id", "id", "image")


@dataclass(frozen=True)
class Columns:
    """Attributes:
    image: one column, or those of the images that a row stacks; None: an image is named by the id (or row).
    answers: targets and auxiliary targets.
    needed: further columns that must be there: weight, table features, the series and order of slices.
    """

    id: str
    row: str | None = None
    image: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    def arrange(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """`row_id`, `id` and how the table names the `image`, then the table's own columns.

        Raises:
            DataError: columns that are not there; a row id that is empty or stands twice.
        """
        wanted = [column for column in (self.id, self.row, *self.image, *self.answers, *self.needed) if column is not None]
        absent = [column for column in dict.fromkeys(wanted) if column not in table]
        if absent:
            raise DataError(f"{name} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, table.columns))}")
        several = self.image if len(self.image) > 1 else ()
        taken = [column for column in (*self.answers, *self.needed, *several) if column in KIT_COLUMNS]
        if taken:
            raise DataError(f"{name}: a target cannot be called {taken[0]!r}, which the kit uses itself; rename the column")
        row_id = table[self.row or self.id]
        repeated, empty = row_id[row_id.duplicated()].unique().tolist(), table.index[(row_id == "") | (table[self.id] == "")]
        if len(empty):
            raise DataError(f"{name}: the id is empty in {len(empty)} rows, first in data row {empty[0] + 1}")
        if repeated:
            hint = "" if self.row else "; where several rows make one unit, name the column of the row's own id: dataset.row"
            raise DataError(f"{name}: {len(repeated)} ids stand twice in {self.row or self.id!r}: {name_few(repeated)}{hint}")
        own = [column for column in table.columns if column not in KIT_COLUMNS]
        named = table[self.image[0]] if len(self.image) == 1 else row_id
        return pd.concat([pd.DataFrame({"row_id": row_id, "id": table[self.id], "image": named}), table[own]], axis=1)

    def name_images(self, table: pd.DataFrame) -> list[pd.Series]:
        """How the table names each row's image, or each of its images."""
        return [table[column] for column in self.image] if len(self.image) > 1 else [table["image"]]


@dataclass(frozen=True)
class Stacking:
    """Several images in one row of the kit: a bag of a unit's rows, or a slice with its neighbours.

    Attributes:
        bag: how many rows of a unit become one; 0: none do.
        neighbours: how many slices before and after.
        series: column of what slices belong together; None: the id.
        order: column of a slice's position (numbers by value, other texts by code point); None: the table's order.
    """

    bag: int = 0
    neighbours: int = 0
    series: str | None = None
    order: str | None = None

    @property
    def views(self) -> int:
        return self.bag or 2 * self.neighbours + 1

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column in (self.series, self.order) if column is not None)

    def arrange(self, table: pd.DataFrame, name: str, told: tuple[str, ...] = ()) -> pd.DataFrame:
        """The table with its stacked images.

        Args:
            told: columns that the kit reads of a row: answers, weight, table features.

        Raises:
            DataError: one of them has several values within a bag.
        """
        if self.neighbours:
            return self._join_neighbours(table)
        return self._join_units(table, name, told) if self.bag else table

    def _sort(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.order is None:
            return table
        numbers = pd.to_numeric(table[self.order], errors="coerce")
        return table.iloc[(table[self.order] if numbers.isna().any() else numbers).argsort(kind="stable")]

    def _join_units(self, table: pd.DataFrame, name: str, told: tuple[str, ...]) -> pd.DataFrame:
        """A row for each unit, in the order of the table, with up to `bag` of its images; of more, some evenly spread.

        Columns that say something else in each row say nothing of a unit, and are left out (no split can go by them).
        """
        own = [column for column in table if column not in KIT_COLUMNS]
        several = table.groupby("id", sort=False)[own].nunique() > 1
        differ = [column for column in own if several[column].any()]
        demand_one_value(several, [column for column in dict.fromkeys(told) if column in differ], name)
        images = self._sort(table).groupby("id", sort=False)["image"].agg(list)
        joined = images.map(lambda refs: STACK.join(pick_evenly(refs, self.bag) + [""] * (self.bag - len(refs))))
        units = table.drop(columns=differ).drop_duplicates("id").reset_index(drop=True)
        return units.assign(row_id=units["id"], image=units["id"].map(joined))

    def _join_neighbours(self, table: pd.DataFrame) -> pd.DataFrame:
        ordered = self._sort(table)
        image = ordered.groupby(self.series or "id", sort=False)["image"]
        # shift(1) holds the slice before.
        shifted = [image.shift(-step).fillna("") for step in range(-self.neighbours, self.neighbours + 1)]
        joined = pd.concat(shifted, axis=1).agg(STACK.join, axis=1)
        return table.assign(image=joined.reindex(table.index))


def demand_one_value(several: pd.DataFrame, columns: list[str], name: str) -> None:
    """Raises DataError: units (the index) with several values in these columns; all columns at once."""
    faults = []
    for column in columns:
        ids = several.index[several[column]].tolist()
        faults.append(f"{len(ids)} ids have rows with different {column!r}: {name_few(ids)}")
    if faults:
        raise DataError(f"{name}: {'; '.join(faults)}. dataset.bag makes one row of a unit: one value a unit is wanted")


def pick_evenly(refs: list[str], most: int) -> list[str]:
    return refs if len(refs) <= most else [refs[math.floor((place + 0.5) * len(refs) / most)] for place in range(most)]


def choose_stacking(stacking: Stacking, stack: list[str] | None, row: str | None) -> Stacking:
    """Raises: DataError: wishes that exclude each other, or that make no sense."""
    chosen = [key for key, given in (("stack", stack), ("bag", stacking.bag), ("neighbours", stacking.neighbours)) if given]
    if len(chosen) > 1:
        raise DataError(f"dataset.{' and dataset.'.join(chosen)} exclude each other; one says what a row's stacked images are")
    if stack is not None and len(stack) < 2:
        raise DataError(f"dataset.stack is {stack}; wanted two columns of images or more (one is dataset.image)")
    if stacking.bag == 1 or stacking.bag < 0 or stacking.neighbours < 0:
        given = f"dataset.bag is {stacking.bag}, dataset.neighbours {stacking.neighbours}"
        raise DataError(f"{given}; wanted a bag from 2, neighbours from 1")
    if stacking.bag and row is None:
        raise DataError("dataset.bag joins a unit's several rows: name the column of the row's own id, dataset.row")
    return stacking
