"""Conclude: what a competition's files say about its tables: the `dataset` keys of competition.yaml, and the kind of the task.

Which files there are is found by listing and look, ids and images in naming, targets in aims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from comp.aims import conclude_kind, conclude_targets, offer_auxiliary
from comp.errors import DataError, ManifestError
from comp.inline import to_yaml
from comp.listing import Listing, list_data
from comp.look import (
    Files,
    find_bands,
    find_class_folders,
    find_label_pattern,
    find_part,
    find_tables,
    find_top,
    list_inside,
    load_csv,
    read_first,
    read_table,
    widen_table,
)  # fmt: skip
from comp.naming import conclude_id, conclude_images
from comp.notes import Notes
from comp.sheets import LOOKED, Sheets, list_columns, name_columns
from comp.tables import name_few
from comp.unsettled import UNKNOWN

MOST_TRIED = 4
CONCLUDED = ("csv", "folder")
"""The datasets whose keys files can show; any other is opened as it stands."""
COLUMN_KEYS = ("id", "row", "image", "folders", "target", "auxiliary", "weight", "stack", "series", "order")
"""Keys of dataset `csv` that name columns of the training table."""


def conclude_dataset(data: Path, shown: str, notes: Notes) -> None:
    """The `dataset` keys, and `task.kind` where columns alone do not show it.

    Args:
        shown: how the file names the folder `data`.

    Raises:
        DataError: there is neither a training table nor a folder of images whose classes can be told.
    """
    if not data.is_dir():
        raise DataError(f"there is no folder {data}")
    listing = list_data(data)
    files = find_tables(listing)
    use = notes.settled.get("dataset.use", "csv")
    faults: dict[str, str] = {}
    sheets = open_sheets(data, listing, files, notes, faults) if use == "csv" else None
    if sheets is not None:
        conclude_tables(sheets, files, shown, notes)
        return
    try:
        conclude_folders(listing, shown, files, notes)
    except DataError as error:
        if faults:
            raise DataError("\n".join([*faults.values(), "no other file in there is a training table"])) from error
        raise


# ---- no training table ---------------------------------------------------------------------------------------------------


def conclude_folders(listing: Listing, shown: str, files: Files, notes: Notes) -> None:
    """A folder per class, or the class in the files' names."""
    near = find_part(listing, "train") is None and find_part(listing, "train", near=True) is not None
    train, valid, test = (
        notes.settled.get(f"dataset.{part}", find_part(listing, part, near)) for part in ("train", "valid", "test")
    )
    place = train or find_top(listing)
    classes = find_class_folders(listing, place)
    images = list_inside(listing, place)
    found = find_label_pattern(images) if len(classes) < 2 and not any("/" in path for path in images) else None
    if len(classes) < 2 and found is None and "dataset.label" not in notes.settled:
        raise DataError(
            f"{listing.root} holds no training table (*.csv, *.json) and no folders of images per class"
            f"{f' in {train}/' if train else ''}; what a folder must hold: train.csv and images, or a folder per class"
        )
    inside = place if place != "." else listing.root.name
    told = f"{len(classes)} folders with images in {inside}/ ({name_few(classes)})"
    notes.add("dataset.use", "folder", f"no training table; {told if found is None else f'images named by class in {inside}'}")
    notes.add("dataset.data", shown, "as given")
    notes.add("dataset.train", place, "holds the class folders" if found is None else f"holds {len(images)} images")
    if found is not None:
        pattern, names = found
        question = f"are {name_few(names)} the classes?"
        notes.add("dataset.label", pattern, f"{len(names)} beginnings or ends of the files' names: {name_few(names)}", question)
    if valid and find_class_folders(listing, valid):
        notes.add("dataset.valid", valid, "joined to the training rows; folds are made of both, column `part` tells them apart")
    if test:
        answers = find_class_folders(listing, test)
        left = f"; its {len(answers)} class folders are answers and stay unread" if answers else ""
        notes.add("dataset.test", test, f"the test images{left}")
        if answers and set(answers) <= set(classes) and takes_labels(listing.root, files.samples, classes):
            notes.add("leaderboard.use", "answers", f"the class folders in {test}/ say what the test images are")
            notes.add("leaderboard.folder", test, "holds them")
    if files.samples:
        notes.add("dataset.sample", files.samples[0], "its name")


def takes_labels(root: Path, samples: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether submissions hold the classes' names: in one column, or as their columns' names. Without a sample they do."""
    _, sample = read_first(root, samples[:1])
    if sample is None:
        return True
    columns = sample.iloc[:, 1:]
    return set(columns) == set(classes) or (columns.shape[1] == 1 and set(columns.iloc[:, 0]) <= set(classes))


# ---- tables --------------------------------------------------------------------------------------------------------------


def open_sheets(data: Path, listing: Listing, files: Files, notes: Notes, faults: dict[str, str]) -> Sheets | None:
    """The tables, and which of those that could be for training is: the first whose rows name images.

    Args:
        faults: takes why a file cannot be read, by its name.
    """
    names = [notes.settled["dataset.train"]] if "dataset.train" in notes.settled else list(files.trains[:MOST_TRIED])
    tests, samples = (
        [name] if (name := notes.settled.get(f"dataset.{part}")) is not None else list(found)
        for part, found in (("test", files.tests), ("sample", files.samples))
    )
    test_name, test = read_first(data, tests, faults)
    sample_name, sample = read_first(data, samples, faults)
    if sample is None and test is not None and not samples and is_sample(test):
        sample_name, sample = test_name, test
    best: Sheets | None = None
    for name in names:
        found_name, train = read_first(data, [name], faults)
        if train is None or not len(train):
            continue
        bands = tuple(find_bands(train))
        train, test_only = (
            train.drop(columns=list(bands)),
            None if test is None else test.drop(columns=list(bands), errors="ignore"),
        )
        named = {"train": found_name, "test": test_name, "sample": sample_name}
        sheets = Sheets(data, listing, train, test_only, sample, named, bands, faults=faults)
        sheets = open_long(sheets)
        best = best or sheets
        if bands or len(names) == 1 or any(sheets.best_share(column) > 0.5 for column in train.columns[:LOOKED]):
            return sheets
    if best is None and "dataset.train" in notes.settled:
        read_table(data / names[0])
    return best


def is_sample(test: pd.DataFrame) -> bool:
    """Whether a test table is the sample itself: ids, and the same answer for all."""
    return len(test) > 1 and len(test.columns) == 2 and test.iloc[:, 0].is_unique and test.iloc[:, 1].nunique() == 1


def open_long(sheets: Sheets) -> Sheets:
    """The sheets with a row a unit in the training table, and the units of the sample, where these have a row for each label."""
    train, sample = sheets.train, sheets.sample
    names = [*train.columns]
    if not sheets.best_share(train.columns[0]) and (wide := widen_table(train)) is not None:
        table, separator, names = wide
        widened = replace(sheets, train=table, found={}, long=(separator, train.columns[1], names))
        sheets = widened if widened.best_share(train.columns[0]) else sheets
    return sheets if sample is None else replace(sheets, units=load_csv().units(sample.iloc[:, 0], names))


def conclude_tables(sheets: Sheets, files: Files, shown: str, notes: Notes) -> None:
    names = sheets.names
    notes.add("dataset.use", "csv", f"there is {names['train']}")
    notes.add("dataset.data", shown, "as given")
    others = [name for name in files.trains if name != names["train"]]
    vague = bool(others) and "train" not in str(names["train"]).lower() and "label" not in str(names["train"]).lower()
    asked = f"is {names['train']} the training table, or {', '.join(others[:4])}?" if vague else ""
    notes.add("dataset.train", names["train"], "its name, and its rows name images" if others else "its name", asked)
    for part, named, none in (
        ("test", files.tests, "no test table: the sample lists the test set"),
        ("sample", files.samples, "no sample submission"),
    ):
        broken = [name for name in named if name in sheets.faults] if names[part] is None else []
        asked = f"{sheets.faults[broken[0]]}. Once it can be read, take the line below" if broken else ""
        choice = f"{part}: {to_yaml(broken[0])}" if broken else ""
        notes.add(f"dataset.{part}", names[part], "its name" if names[part] else none, asked, choice)
    found_id = conclude_id(sheets, notes)
    check_columns(sheets, notes)
    image = conclude_images(sheets, found_id, notes)
    taken = {image, notes.get("dataset.row")} - {None}
    if found_id != UNKNOWN:
        taken |= name_columns(found_id, sheets.train)
    targets = conclude_targets(sheets, taken, notes)
    if targets:
        conclude_kind(sheets.train, sheets.sample, targets, notes)
        offer_auxiliary(sheets, targets, taken, notes)


def check_columns(sheets: Sheets, notes: Notes) -> None:
    """Raises: ManifestError: what stands in the file names columns that the training table lacks; all of them."""
    is_folders = notes.get("dataset.folders") is not None
    derived = [str(text).partition("=")[0].strip() for text in notes.settled.get("dataset.derive") or ()]
    # A row is a folder of images: the rows of these are named by the kit.
    known = {*sheets.train.columns, *sheets.bands, *derived, *(("file",) if is_folders else ())}
    known |= {sheets.long[1]} if sheets.long is not None else set()
    faults = []
    for key in COLUMN_KEYS:
        given = notes.settled.get(f"dataset.{key}")
        if given is None or (is_folders and key in ("id", "row")):
            continue
        named = [given] if isinstance(given, str) else given
        strange = sorted({column for text in named for column in name_columns(text, sheets.train)} - known - {UNKNOWN})
        if strange:
            said = f"{sheets.names['train']} has no column {name_few(strange)}. {list_columns(sheets.train)}"
            faults.append(notes.fault(f"dataset.{key}", said))
    if faults:
        raise ManifestError(faults, "nothing was written")
