"""Implied: what a table only implies: an id put together from several columns, one target of 0/1 columns, names by pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from string import Formatter

import pandas as pd

from comp.api import DataError

from ._places import name_few

MARKS = {"0": False, "0.0": False, "1": True, "1.0": True}


def add_id(rows: pd.DataFrame, template: str, name: str, ready: pd.Series | None = None) -> pd.DataFrame:
    """The rows with a column called as the template (`{patient_id}_{laterality}`) that holds what it makes of their cells.

    A name without braces, or of a column, is no template: nothing is added. Where a part is empty, so is the id.

    Args:
        name: of the table, for messages.
        ready: the ids of a sample submission. A column of the rows that is called as they are and holds no others is taken.

    Raises:
        DataError: braces that do not close, or a column in them that is not there.
    """
    if "{" not in template or template in rows:
        return rows
    if ready is not None and ready.name in rows and set(rows[ready.name]) <= set(ready):
        return rows.assign(**{template: rows[ready.name]})
    parts = read_template(template)
    absent = [column for _, column in parts if column is not None and column not in rows]
    if absent:
        there = ", ".join(map(repr, rows.columns))
        raise DataError(f"{name} has no column {name_few(absent)}, which dataset.id {template!r} wants; it has {there}")
    made, empty = pd.Series("", index=rows.index, dtype=object), pd.Series(False, index=rows.index)
    for text, column in parts:
        made = made + text + ("" if column is None else rows[column])
        empty |= False if column is None else rows[column] == ""
    return rows.assign(**{template: made.mask(empty, "")})


def add_names(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows with a column for each template of image names (`{id}_red`) whose columns they have."""
    for template in names:
        parts = read_template(template) if "{" in template and template not in rows else []
        if parts and {column for _, column in parts if column is not None} <= set(rows):
            rows = add_id(rows, template, "")
    return rows


def drop_repeated(rows: pd.DataFrame, key: str, repeated: str) -> pd.DataFrame:
    """The rows without those whose key stood there before (`first`), or stands there twice (`drop`); or as they are (`error`)."""
    if repeated == "error" or key not in rows:
        return rows
    return rows[~rows[key].duplicated(keep="first" if repeated == "first" else False)].reset_index(drop=True)


def read_template(template: str) -> list[tuple[str, str | None]]:
    """Pieces of text, each with the column that follows it; None at the end."""
    try:
        parts = [(text, column) for text, column, *_ in Formatter().parse(template)]
    except ValueError as error:
        raise DataError(f"dataset.id: {template!r} is no template ({error}); wanted columns in braces") from error
    if any(column == "" for _, column in parts):
        raise DataError(f"dataset.id: {template!r} has empty braces; wanted a column in them")
    return parts


def join_one_hot(rows: pd.DataFrame, columns: Sequence[str], target: str, name: str) -> pd.DataFrame:
    """The rows with a column `target`: the name of the one of `columns` that holds a 1.

    Raises:
        DataError: the columns are not there, are fewer than two, hold anything but 0 and 1, or not a single 1 in each row; or
            there is a column `target` already.
    """
    if len(columns) < 2:
        raise DataError(f"dataset.one_hot: dataset.target is {', '.join(columns)}; wanted the 0/1 columns of all classes")
    absent = [column for column in columns if column not in rows]
    if absent:
        raise DataError(f"{name} has no column {name_few(absent)}; it has {', '.join(map(repr, rows.columns))}")
    if target in rows:
        raise DataError(f"dataset.one_hot: {name} has a column {target!r} already; choose another name for the target")
    flags = rows[list(columns)].map(lambda cell: MARKS.get(cell))
    counts = flags.eq(True).sum(axis=1).where(flags.notna().all(axis=1), -1)
    if (counts != 1).any():
        row = int((counts != 1).to_numpy().argmax())
        cells = ", ".join(f"{column} {rows[column].iloc[row]!r}" for column in columns)
        many = int((counts != 1).sum())
        raise DataError(
            f"{name}: {many} rows do not have 0 and a single 1 in the target columns, first data row {row + 1} ({cells}); "
            "dataset.one_hot is for classes that exclude each other: without it they are labels"
        )
    return rows.assign(**{target: flags.eq(True).idxmax(axis=1).astype(object)})


def match_columns(wanted: Sequence[str], rows: pd.DataFrame, taken: Sequence[str | None], name: str) -> list[str]:
    """The columns that names and patterns (`margin*`) mean, each once, those of a pattern in the table's order.

    Args:
        taken: columns with another part (id, target): no pattern takes them.

    Raises:
        DataError: a pattern that fits no column.
    """
    found: dict[str, None] = {}
    for text in wanted:
        if text in rows or not any(mark in text for mark in "*?["):
            found[text] = None
            continue
        fits = [column for column in rows if column not in taken and fnmatchcase(column, text)]
        if not fits:
            raise DataError(f"dataset.columns: {text!r} fits no column of {name}; it has {', '.join(map(repr, rows.columns))}")
        found.update(dict.fromkeys(fits))
    return list(found)
