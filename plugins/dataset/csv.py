"""Dataset `csv`: a table of training rows, folders of images, and a sample submission, as competitions hand them out.

Everything is read as text, exactly as written: `007` stays `007`, a class may be called `NA`. What the labels mean is the
kit's business (comp.competition); decoding images too. A named image that is not there keeps the path where it was
expected, and the kit says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from comp.api import DataError, Tables, plugin

KIT_COLUMNS = ("row_id", "id", "image")


@plugin("dataset")
def csv(
    root: Path,
    /,
    *,
    data: str = ".",
    train: str = "train.csv",
    test: str | None = None,
    sample: str | None = None,
    images: str = "train_images",
    test_images: str | None = None,
    id: str = "id",  # noqa: A002 (the manifest's word)
    row: str | None = None,
    target: str | list[str] = "label",
    separator: str | None = None,
    image: str | None = None,
    extension: str | None = None,
) -> Tables:
    """A training table, image folders and a sample submission.

    Images are found by looking: what `image` (or else the id) says, with or without an extension, is sought in the folder,
    then below it by name alone; a path may begin with the folder itself.

    Args:
        data: folder of the competition's files; relative to the workspace, or absolute.
        train: the training table.
        test: the test table. Null, or a file that is not there: the test set is what the sample lists.
        sample: the sample submission, or null.
        images: folder of the training images.
        test_images: folder of the test images; null: the same as `images`. Not there, or empty: no test set yet.
        id: column of the id that one answer belongs to.
        row: column of a row's own name, where several rows (images) make one unit; null: each row is a unit.
        target: column of the target, or a list of columns.
        separator: what joins the labels where a target holds sets of them, e.g. " ".
        image: column of the image's path or file name; null, or not in the test table: named by the id (or row).
        extension: chooses among files that differ in it, e.g. ".png".

    Raises:
        DataError: a table that cannot be read or lacks a column, a path that leads outside, an id twice, no image at all.
    """
    folder = (root / Path(data).expanduser()).resolve()
    if not folder.is_dir():
        raise DataError(f"dataset.data: there is no folder {folder}")
    targets = (target,) if isinstance(target, str) else tuple(target)
    columns = Columns(id=id, row=row, image=image, extension=extension, targets=targets)
    train_file = place_inside(folder, train, "dataset.train")
    train_table = columns.arrange(read_text(train_file), train_file.name)
    train_table["image"] = columns.find_images(train_table, folder, images, train_file.name)
    sample_table = read_text(place_inside(folder, sample, "dataset.sample")) if sample is not None else None
    return Tables(
        train=train_table,
        test=open_test(folder, test, test_images, images, sample_table, columns),
        sample=sample_table,
        id_column=id if sample_table is None or id in sample_table else str(sample_table.columns[0]),
        targets=targets,
        files=(train_file,),
        root=folder,
        separator=separator,
    )


def open_test(
    root: Path, test: str | None, test_images: str | None, images: str, sample: pd.DataFrame | None, columns: Columns
) -> pd.DataFrame | None:
    """The test rows with their images; None where there is no test set (no images, or nothing that lists them)."""
    folder = place_inside(root, images if test_images is None else test_images, "dataset.test_images")
    file = place_inside(root, test, "dataset.test") if test is not None else None
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    if file is not None and file.is_file():
        table, name = read_text(file), file.name
        table = table.drop(columns=[column for column in columns.targets if column in table])
        columns = replace(columns, image=columns.image if columns.image in table else None)
    elif sample is not None:
        header = columns.id if columns.id in sample else sample.columns[0]
        table, name = pd.DataFrame({columns.id: sample[header]}), "the sample"
        columns = replace(columns, row=None, image=None)
    else:
        return None
    columns = replace(columns, targets=())
    table = columns.arrange(table, name)
    # Among the training images, the sample's may well not be: then the test set has not been handed out.
    optional = name == "the sample" and test_images is None
    found = columns.find_images(table, root, images if test_images is None else test_images, name, optional)
    return None if found is None else table.assign(image=found)


@dataclass(frozen=True)
class Columns:
    """Which columns say what a row is called, where its image lies and what the answer is."""

    id: str
    row: str | None
    image: str | None
    extension: str | None
    targets: tuple[str, ...]

    def arrange(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """`row_id`, `id` and `image` (as the table names it), then the table's own columns.

        Raises:
            DataError: columns that are not there; a row id that is empty or stands twice.
        """
        wanted = [column for column in (self.id, self.row, self.image, *self.targets) if column is not None]
        absent = [column for column in wanted if column not in table]
        if absent:
            raise DataError(f"{name} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, table.columns))}")
        taken = [column for column in self.targets if column in KIT_COLUMNS]
        if taken:
            raise DataError(f"{name}: a target cannot be called {taken[0]!r}, which the kit uses itself; rename the column")
        row_id = table[self.row or self.id]
        repeated, empty = row_id[row_id.duplicated()].unique().tolist(), table.index[(row_id == "") | (table[self.id] == "")]
        if len(empty):
            raise DataError(f"{name}: the id is empty in {len(empty)} rows, first in data row {empty[0] + 1}")
        if repeated:
            hint = "" if self.row else "; where several rows make one unit, name the column of the row's own id: dataset.row"
            raise DataError(f"{name}: {len(repeated)} ids stand twice in {self.row or self.id!r}: {name_few(repeated)}{hint}")
        head = pd.DataFrame({"row_id": row_id, "id": table[self.id], "image": table[self.image] if self.image else row_id})
        own = [column for column in table.columns if column not in KIT_COLUMNS]
        return pd.concat([head, table[own]], axis=1)

    def find_images(self, table: pd.DataFrame, root: Path, images: str, name: str, optional: bool = False) -> list[str] | None:
        """Each row's image as a path from `root`, worked out from what files there are; None: `optional`, and none is there.

        Raises:
            DataError: names that lead outside, that fit several files, or none of which is there.
        """
        place = place_inside(root, images, "dataset.images")
        if not place.is_dir():
            raise DataError(f"dataset.images: there is no folder {place}")
        prefix = "" if place == root else place.relative_to(root).as_posix() + "/"
        index = FileIndex(list_files(place), prefix, self.extension)
        given = table["image"].tolist()
        outside = [text for text in given if leads_outside(text)]
        if outside:
            raise DataError(f"{name}: {len(outside)} images lead out of {root}: {name_few(outside)}")
        found = [index.find(text) for text in given]
        unclear = [text for text, path in zip(given, found) if path == FileIndex.SEVERAL]
        if unclear:
            raise DataError(
                f"{name}: {len(unclear)} images fit several files in {place}: {name_few(unclear)}; say which: dataset.extension"
            )
        if given and not any(found):
            if optional:
                return None
            there = name_few(list(index.paths)) or "nothing"
            raise DataError(f"{name}: none of its {len(given)} images is in {place}; wanted {name_few(given)}; there is {there}")
        guess = index.usual_suffix()
        return [
            path or prefix + text + ("" if PurePosixPath(text).suffix == guess else guess) for text, path in zip(given, found)
        ]


class FileIndex:
    """The files of a folder by path, by path without extension, and by name alone."""

    SEVERAL = "\0"

    def __init__(self, paths: list[str], prefix: str, extension: str | None) -> None:
        if extension is not None:
            dotted = "." + extension.lstrip(".")
            paths = [path for path in paths if path.lower().endswith(dotted.lower())]
        self.paths = dict.fromkeys(paths)
        self.prefix = prefix
        self._short: dict[str, str] = {}
        for path in paths:
            stem = path[: len(path) - len(PurePosixPath(path).suffix)]
            for key in {stem, path.rpartition("/")[2], stem.rpartition("/")[2]} - {path}:
                self._short[key] = self.SEVERAL if key in self._short else path

    def find(self, text: str) -> str | None:
        """The path from the table's root of what the text names; None if nothing, SEVERAL if more than one file."""
        text = text.removeprefix("./")
        for name in (text, text.removeprefix(self.prefix)):
            if name in self.paths:
                return self.prefix + name
            path = self._short.get(name)
            if path is not None:
                return path if path == self.SEVERAL else self.prefix + path
        return None

    def usual_suffix(self) -> str:
        first = next(iter(self.paths), "")
        return PurePosixPath(first).suffix


def list_files(folder: Path) -> list[str]:
    """The visible files below a folder, as sorted relative paths. Links to folders are followed, but no circle twice."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real in seen:
            continue
        seen.add(real)
        prefix = "" if Path(place) == folder else Path(place).relative_to(folder).as_posix() + "/"
        found += [prefix + name for name in names if not name.startswith(".")]
    return sorted(found)


def read_text(path: Path) -> pd.DataFrame:
    """A CSV with every cell as text, empty cells as "" (UTF-8, with or without a byte-order mark, any line ends).

    Raises:
        DataError: not there, not UTF-8, empty, ragged, or a column twice.
    """
    if not path.is_file():
        raise DataError(f"there is no table {path}")
    try:
        # Without a header of its own, pandas refuses rows that are longer than the first instead of shifting columns.
        table = pd.read_csv(path, header=None, dtype=str, na_filter=False, encoding="utf-8-sig", low_memory=False)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 ({error.reason} at byte {error.start}); convert it first") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path.name} cannot be read as CSV: {error}") from error
    header = [str(cell) for cell in table.iloc[0]]
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    if twice:
        raise DataError(f"{path.name} has two columns called {twice[0]!r}")
    table = table.iloc[1:].reset_index(drop=True)
    table.columns = header
    return table


def place_inside(folder: Path, relative: str, key: str) -> Path:
    """Raises DataError where a file of the dataset would lie outside its folder."""
    if leads_outside(relative):
        raise DataError(f"{key}: {relative!r} leads out of {folder}; wanted a path inside it (the folder itself is dataset.data)")
    return folder / relative


def leads_outside(path: str) -> bool:
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    return "\0" in path or posix.is_absolute() or bool(windows.anchor) or ".." in posix.parts or ".." in windows.parts


def name_few(texts: Sequence[str], most: int = 3) -> str:
    return ", ".join(map(repr, texts[:most])) + (", ..." if len(texts) > most else "")
