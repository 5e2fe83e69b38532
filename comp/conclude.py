"""Conclude: what a competition's files say about its tables: id, images, targets.

What files there are is found in look; kind, split, metric and form are proposed in propose; writing competition.yaml is init's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from comp.errors import DataError
from comp.look import Files, ImageFolder, find_class_folders, find_part, find_tables, rank_image_folders, read_table
from comp.notes import Conclusion, Notes
from comp.propose import GROUPS, propose_kind
from comp.tables import name_few

LABEL_NAMES = ("label", "labels", "target", "class", "category", "category_id", "species", "breed", "diagnosis", "y")
LOOKED = 200


def conclude_dataset(data: Path, shown: str) -> tuple[list[Conclusion], str | None]:
    """The `dataset` keys, and the kind of the task where columns alone do not show it.

    Args:
        shown: how the file names the folder `data`.

    Raises:
        DataError: neither a training table with images nor class folders are there.
    """
    if not data.is_dir():
        raise DataError(f"there is no folder {data}")
    files, notes = find_tables(data), Notes()
    if files.train is None:
        conclude_folders(data, shown, files, notes)
        return notes.found, None
    return notes.found, conclude_tables(data, shown, files, notes)


# ---- a folder per class --------------------------------------------------------------------------------------------------


def conclude_folders(data: Path, shown: str, files: Files, notes: Notes) -> None:
    train, valid, test = (find_part(data, part) for part in ("train", "valid", "test"))
    place = data / train if train else data
    classes = find_class_folders(place)
    if len(classes) < 2:
        raise DataError(
            f"{data} holds no training table (*.csv) and no folders of images per class"
            f"{f' in {train}/' if train else ''}; what a folder must hold: train.csv and images, or a folder per class"
        )
    notes.add(
        "dataset.use", "folder", f"no training table; {len(classes)} folders with images in {place.name}/ ({name_few(classes)})"
    )
    notes.add("dataset.data", shown, "as given")
    notes.add("dataset.train", train or ".", "holds the class folders")
    if valid and find_class_folders(data / valid):
        notes.add("dataset.valid", valid, "joined to the training rows; folds are made of both, column `part` tells them apart")
    if test:
        answers = find_class_folders(data / test)
        notes.add(
            "dataset.test",
            test,
            "the test images" + (f"; its {len(answers)} class folders are answers and stay unread" if answers else ""),
        )
    if files.sample is not None:
        notes.add("dataset.sample", files.sample.name, "its name")


# ---- tables --------------------------------------------------------------------------------------------------------------


def conclude_tables(data: Path, shown: str, files: Files, notes: Notes) -> str | None:
    assert files.train is not None
    train = read_table(files.train)
    test = read_table(files.test) if files.test else None
    sample = read_table(files.sample) if files.sample else None
    other = f"is {files.train.name} the training table, or {', '.join(path.name for path in files.others)}?"
    vague = files.others and files.train.stem.lower() != "train"
    notes.add("dataset.use", "csv", f"there is {files.train.name}")
    notes.add("dataset.data", shown, "as given")
    notes.add("dataset.train", files.train.name, "its name", other if vague else "")
    notes.add(
        "dataset.test",
        files.test.name if files.test else None,
        "its name" if files.test else "no test table: the sample lists the test set",
    )
    notes.add(
        "dataset.sample", files.sample.name if files.sample else None, "its name" if files.sample else "no sample submission"
    )
    id_column = conclude_id(train, sample, files, notes)
    path_column = conclude_images(data, train, test if test is not None else sample, id_column, notes)
    taken = {id_column, path_column} - {None}
    targets = conclude_targets(train, test, sample, taken, files, notes)
    kind = propose_kind(train, sample, targets, notes)
    return kind


def conclude_id(train: pd.DataFrame, sample: pd.DataFrame | None, files: Files, notes: Notes) -> str:
    header = None if sample is None else str(sample.columns[0])
    if header in train.columns:
        found = notes.add("dataset.id", header, f"the first column of {files.sample.name}, and a column of {files.train.name}")  # type: ignore[union-attr]
    else:
        unique = [column for column in train.columns if train[column].is_unique]
        if not unique:
            raise DataError(f"{files.train.name} has no column with a different value in each row, so none that could be the id")
        unique.sort(key=lambda column: not re.search(r"id|image|file|name", column, re.I))
        why = f"different in each of the {len(train)} rows"
        sure = len(unique) == 1 and sample is None
        found = notes.add(
            "dataset.id", unique[0], why, "" if sure else f"is {unique[0]!r} the id ({', '.join(unique)} would do)?"
        )
    if not train[found].is_unique:
        rows = [column for column in train.columns if train[column].is_unique]
        each = len(train) / train[found].nunique()
        notes.add(
            "dataset.row", rows[0] if rows else None, f"{found!r} repeats: one answer for {each:.1f} images on average",
            "" if len(rows) == 1 else f"which column names a single image ({', '.join(rows) or 'none is unique'})?",
        )  # fmt: skip
    return found


def conclude_images(data: Path, train: pd.DataFrame, test: pd.DataFrame | None, id_column: str, notes: Notes) -> str | None:
    """The folders, and the column of paths where ids do not name the images."""
    row = next((note.value for note in notes.found if note.key == "dataset.row" and note.value), id_column)
    paths = [
        column for column in train.columns if column != row and train[column].head(LOOKED).str.contains(r"\.\w{3,4}$|/").all()
    ]
    best: tuple[str, ImageFolder] | None = None
    for column in (row, *paths):
        folders = rank_image_folders(data, "train", pick(train[column]))
        if folders and (best is None or folders[0].share > best[1].share):
            best = column, folders[0]
    if best is None:
        raise DataError(
            f"no folder of {data} holds the images of {row!r} ({name_few(train[row].head(3).tolist())}): "
            "unpack them there, with those names"
        )
    column, folder = best
    why = (
        f"holds {folder.share:.0%} of {len(pick(train[column]))} images looked up by {column!r}, as {', '.join(folder.suffixes)}"
    )
    notes.add(
        "dataset.images",
        folder.name,
        why,
        "" if folder.share == 1 else f"are some images missing in {folder.name}/, or elsewhere?",
    )
    if len(folder.suffixes) > 1:
        notes.add(
            "dataset.extension", None, f"{', '.join(folder.suffixes)} are there", "where one name has several, which is meant?"
        )
    if column != row:
        notes.add("dataset.image", column, f"its values name the images; those of {row!r} do not")
    if test is not None:
        wanted = pick(test[column if column in test else test.columns[0]])
        folders = rank_image_folders(data, "test", wanted)
        if folders:
            notes.add("dataset.test_images", folders[0].name, f"holds {folders[0].share:.0%} of the test images")
        else:
            notes.add(
                "dataset.test_images",
                "test_images",
                "no folder holds the test images: no test set yet",
                "where will the test images be?",
            )
    return column if column != row else next(iter(paths), None)


def pick(values: pd.Series) -> list[str]:
    """Some values, evenly spread."""
    return values.iloc[:: max(1, len(values) // LOOKED)].tolist()


def conclude_targets(
    train: pd.DataFrame, test: pd.DataFrame | None, sample: pd.DataFrame | None, taken: set[str], files: Files, notes: Notes
) -> list[str]:
    answers = [] if sample is None else [column for column in sample.columns[1:]]
    if answers and set(answers) <= set(train.columns):
        notes.add("dataset.target", answers if len(answers) > 1 else answers[0], f"in {files.train.name} and {files.sample.name}")  # type: ignore[union-attr]
        return answers
    known = taken | (set() if test is None else set(test.columns))
    candidates = [column for column in train.columns if column not in known and not GROUPS.search(column)]
    if len(answers) > 1:
        by_values = [column for column in candidates if {str(value) for value in train[column].unique()} == set(answers)]
    else:
        cells = set() if not answers else set(sample[answers[0]].unique()) - {""}  # type: ignore[index]
        by_values = [column for column in candidates if cells and cells <= set(train[column].unique())]
    by_name = [column for column in candidates if column.lower() in LABEL_NAMES]
    if not candidates:
        raise DataError(f"{files.train.name} ({', '.join(train.columns)}) has no column that could be the target")
    column = (by_values or by_name or candidates[-1:])[0]
    why = (
        "its values are those of the sample"
        if by_values
        else "its name"
        if by_name
        else "the last column that the test table lacks"
    )
    sure = len(answers) > 1 and len(by_values) == 1
    notes.add(
        "dataset.target", column, why, "" if sure else f"is {column!r} the target? The columns are {', '.join(train.columns)}"
    )
    return [column]
