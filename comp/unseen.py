"""Unseen test sets: a folder of images, or a table of them, that came after a run was made, as the tables of a competition.

Nothing of the workspace's own tables is needed. What is done with them is comp.predict's.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from comp.api import PICTURES, Tables
from comp.catalog import Catalog
from comp.errors import DataError
from comp.packed import is_packed, unpack_table
from comp.tables import name_few


def list_test(test: Path, tables: Tables, dataset: Mapping[str, Any], ids_have_endings: bool, catalog: Catalog) -> Tables:
    """The competition's tables with another test set, as the dataset's plugin reads it; else a folder or a table of images.

    Args:
        dataset: the manifest's mapping, for the columns and the test images' folder that it names.
        ids_have_endings: whether an image's id bears its file's ending, as in the training table.
        catalog: where the dataset's plugin is found.

    Raises:
        DataError: it is neither, or a table's image is not to be found.
    """
    plugin, _ = catalog.find("dataset", dataset["use"])
    if hasattr(function := catalog.load(plugin), "unseen") and test.exists():
        arguments = {key: value for key, value in dataset.items() if key != "use"}
        found = function.unseen(test, tables, ids_have_endings, tables.facts, **arguments)
        demand_columns(test, found)
        return found
    if test.is_dir():
        return replace(tables, test=list_folder(test, ids_have_endings), root=test.resolve(), read=None)
    if test.is_file():
        return replace(tables, test=list_table(test, tables.id_column, dataset), root=test.resolve().parent, read=None)
    raise DataError(f"--test {test}: there is no such folder or table; wanted a folder of images, or a CSV with a row for each.")


def demand_columns(test: Path, tables: Tables) -> None:
    """Raises DataError: what a model takes beside the image is not there."""
    absent = [column for column in tables.columns if tables.test is not None and column not in tables.test]
    if absent:
        names = ", ".join(absent)
        raise DataError(f"--test {test}: the model takes {names} beside the image; wanted a table with these columns.")


def list_folder(folder: Path, ids_have_endings: bool) -> pd.DataFrame:
    """A row for each image below a folder."""
    files = list_images(folder)
    ids = [path if ids_have_endings else PurePosixPath(path).with_suffix("").as_posix() for path in files]
    again = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(again):
        raise DataError(f"{folder}: two images bear the id {again[0]!r}; wanted one image for each id.")
    return pd.DataFrame({"row_id": ids, "id": ids, "image": files}, dtype=object)


def list_table(file: Path, id_column: str, dataset: Mapping[str, Any]) -> pd.DataFrame:
    """A table's rows with their images, which lie beside or below the table: under their path, or by name alone."""
    table = read_sample(file)
    if id_column not in table:
        raise DataError(f"{file.name}: no column {id_column!r}; it has {', '.join(table.columns)}.")
    row_column = next(column for column in (dataset.get("row"), id_column) if column in table)
    row = table[row_column]
    if row.duplicated().any():
        raise DataError(
            f"{file.name}: {row[row.duplicated()].iloc[0]!r} stands twice in column {row_column!r}; wanted each row once."
        )
    named = table[dataset["image"]] if dataset.get("image") in table else row
    images = find_images(named.tolist(), file, dataset.get("test_images"))
    return pd.DataFrame({"row_id": row, "id": table[id_column], "image": images}, dtype=object)


def find_images(names: Sequence[str], file: Path, folder: str | None) -> list[str]:
    """The path of each named image, from the table's folder.

    Args:
        folder: where the competition keeps test images; looked into first, because training images may bear the same names.

    Raises:
        DataError: an image that is not there, or a name that several bear.
    """
    paths = list_images(file.parent)
    places = [[path for path in paths if folder and path.startswith(f"{folder}/")], paths]
    indexes = [index_names(place) for place in places if place]
    found = [next((index[name] for index in indexes if name in index), []) for name in names]
    lost = [name for name, fits in zip(names, found, strict=True) if not fits]
    unclear = [f"{name}: {name_few(fits)}" for name, fits in zip(names, found, strict=True) if len(fits) > 1]
    if lost:
        raise DataError(f"{file.name}: no image below {file.parent} for {len(lost)} of {len(names)} rows: {name_few(lost)}")
    if unclear:
        raise DataError(
            f"{file.name}: {len(unclear)} of {len(names)} rows fit several images below {file.parent} ({unclear[0]}); "
            "put the table beside the test images alone, or write their paths into it"
        )
    return [fits[0] for fits in found]


def index_names(paths: Sequence[str]) -> dict[str, list[str]]:
    """Every way to name an image -> the images that it fits: the path itself, without its ending, by name alone."""
    index: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        bare = PurePosixPath(path)
        for name in {bare.with_suffix("").as_posix(), bare.name, bare.stem} - {path}:
            index[name].append(path)
    # A whole path is never unclear.
    return {**index, **{path: [path] for path in paths}}


def list_images(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def read_sample(file: Path) -> pd.DataFrame:
    """A table as text; it may be packed.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return pd.read_csv(
            io.BytesIO(unpack_table(file)[1]) if is_packed(file.name) else file,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a table: {error}") from error
