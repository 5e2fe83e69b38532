"""Spread: a table whose rows name folders of images (a person, a study) becomes one with a row for each image."""

from __future__ import annotations

from pathlib import PurePosixPath

import pandas as pd

from comp.api import DataError

from ._places import KNOWN_SUFFIXES, FileIndex, leads_outside, name_few

FILE = "file"


def spread_rows(table: pd.DataFrame, folders: str, own: str, index: FileIndex, name: str) -> pd.DataFrame:
    """A row for each image below the folder that column `folders` names, with a column `file`: its path there, less the ending.

    Args:
        own: the column of a row's own name, which becomes `folder/file`.
        name: the table's, for messages.

    Raises:
        DataError: no such column, or one called `file`; folders without images, or that several rows name.
    """
    if folders not in table or FILE in table or own in table:
        raise DataError(
            f"{name} has the columns {', '.join(map(repr, table.columns))}; dataset.folders wants {folders!r} among them, none "
            f"called {FILE!r}, and a new name for the images' own ids, not {own!r} (dataset.id; or dataset.row)"
        )
    given = table[folders].str.removeprefix("./").str.strip("/")
    again, outside = given[given.duplicated()].tolist(), [text for text in given if leads_outside(text)]
    if again or outside:
        raise DataError(f"{name}: {folders!r} names folders outside the images, or twice: {name_few(outside or again)}")
    images = list_images(index, set(given))
    empty = [folder for folder in given if folder not in images]
    if empty:
        raise DataError(f"{name}: {len(empty)} folders have no image below {index.prefix or '.'}: {name_few(empty)}")
    counts = [len(images[folder]) for folder in given]
    rows = table.loc[table.index.repeat(counts)].reset_index(drop=True)
    rows[FILE] = [file for folder in given for file in images[folder]]
    rows[own] = [f"{folder}/{file}" for folder in given for file in images[folder]]
    return rows


def list_images(index: FileIndex, folders: set[str]) -> dict[str, list[str]]:
    """Folder -> its images' paths without endings, in their order."""
    found: dict[str, list[str]] = {}
    for path in index.paths:
        pure = PurePosixPath(path)
        if pure.suffix.lower() not in KNOWN_SUFFIXES:
            continue
        folder = next((str(parent) for parent in pure.parents if str(parent) in folders), None)
        if folder is not None:
            found.setdefault(folder, []).append(str(pure.relative_to(folder).with_suffix("")))
    return found
