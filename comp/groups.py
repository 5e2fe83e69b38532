"""Groups: `groups.csv` of the workspace, further columns of the training table that `split.group` may name.

A line is id, then one column or several; an empty cell, or an id that is not there, is a group of its own. `comp audit --groups`
writes the column `lookalike`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd

from comp.api import Tables
from comp.errors import DataError
from comp.tables import name_few

FILE = "groups.csv"


def join_groups(root: Path, tables: Tables) -> Tables:
    """The tables, with what groups.csv says of the training rows; as they are where there is no such file.

    Raises:
        DataError: it cannot be read, has an id twice, a column that the training table has, or the ids of another table.
    """
    groups = read_groups(root)
    if groups is None:
        return tables
    taken = [column for column in groups if column in tables.train]
    if taken:
        raise DataError(f"{FILE} has the column {name_few(taken)}, which the training table has, too; rename it in {FILE}")
    ids = tables.train["id"]
    if len(groups) and not ids.isin(groups.index).any():
        raise DataError(
            f"{FILE} has none of the training ids: it has {name_few(groups.index)}, the table {name_few(ids.unique())}; its ids "
            "are to be written as the table writes them"
        )
    joined = {}
    for column in groups:
        named = ids.map(groups[column]).replace("", None)
        joined[column] = named.where(named.notna(), "only " + ids).astype(object)
    return replace(tables, train=tables.train.assign(**joined))


def read_groups(root: Path) -> pd.DataFrame | None:
    """The file's columns, by id, all text; None where there is none.

    Raises:
        DataError: it cannot be read, has no id or no further column, or an id twice.
    """
    file = root / FILE
    if not file.is_file():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(file, dtype=str, na_filter=False, encoding="utf-8-sig", index_col=False)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"{FILE} has lines of more cells than its first line; wanted id, and one for each way to group"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{FILE} cannot be read: {error}") from error
    if "id" not in table or len(table.columns) < 2:
        raise DataError(f"{FILE} has the columns {', '.join(table.columns)}; wanted id, and one for each way to group")
    if table["id"].duplicated().any():
        twice = table["id"][table["id"].duplicated()].unique()
        raise DataError(f"{FILE}: {len(twice)} ids stand twice: {name_few(twice)}; each is in one group")
    return table.set_index("id")
