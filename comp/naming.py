"""Naming: which columns of a competition's tables name the units and the images, and where those images lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd

from comp.api import PICTURES
from comp.indirect import conclude_endings, conclude_folders_of_rows
from comp.listing import Place
from comp.notes import Notes
from comp.sheets import LOOKED, MOST_SHOWN, Sheets, list_columns, name_columns, name_rows, pick
from comp.tables import name_few
from comp.unsettled import UNKNOWN

MOST_COLUMNS = 12
JOINTS = ("_", "-", "", " ", "/", ".")
FEW_PLANES = 4
FEW_ROWS = 3
MOST_REPEATED = 0.2

# ---- the id --------------------------------------------------------------------------------------------------------------


def conclude_id(sheets: Sheets, notes: Notes) -> str:
    """The column of the unit's id, or a template of columns; UNKNOWN where nothing shows it. And `dataset.row`."""
    if not any(map(sheets.best_share, sheets.train.columns[:LOOKED])) and not sheets.bands:
        found = conclude_folders_of_rows(sheets.listing, sheets.train, sheets.sample, notes)
        if found is not None:
            return found
    column, why, question = choose_id(sheets)
    found = notes.add("dataset.id", column, why, question)
    if found == UNKNOWN or not name_columns(found, sheets.train) <= set(sheets.train):
        return UNKNOWN
    ids = name_rows(sheets.train, found)
    if not ids.is_unique:
        rows = [column for column in sheets.train.columns if sheets.train[column].is_unique]
        rows.sort(key=lambda column: -sheets.best_share(column))
        each = f"{found!r} repeats: one answer for {len(ids) / ids.nunique():.1f} images on average"
        few = ids[ids.duplicated(keep=False)]
        if not rows and len(few) < MOST_REPEATED * len(ids):
            add_repeated(sheets.train, found, few, notes)
        elif not rows:
            notes.ask("dataset.row", f"{each}, and no column names a single image; which columns do together?")
        else:
            clear = len(rows) == 1 or sheets.best_share(rows[0]) > sheets.best_share(rows[1])
            notes.add("dataset.row", rows[0], each, "" if clear else f"which column names a single image ({', '.join(rows)})?")
    return found


def add_repeated(train: pd.DataFrame, column: str, few: pd.Series, notes: Notes) -> None:
    """`dataset.repeated`: some ids stand twice, though each is of one row."""
    apart = train.loc[few.index].drop_duplicates().index
    other = few.loc[apart].duplicated(keep=False).sum()
    told = f"{other} of these rows say different things" if other else "all of them in equal rows"
    question = (
        f"{few.nunique()} ids stand twice ({name_few(few.unique().tolist())}), {told}: keep the `first` of each, or `drop` all?"
    )
    notes.add("dataset.repeated", "first", f"{column!r} repeats in {len(few)} of {len(train)} rows", question)


def choose_id(sheets: Sheets) -> tuple[str, str, str]:
    """The id's column, why, and a question where it is unsure."""
    train, sample, test = sheets.train, sheets.sample, sheets.test
    if sample is not None:
        header, ids = str(sample.columns[0]), set(sample.iloc[:, 0])
        if header in train:
            return header, f"the first column of {sheets.names['sample']}, and a column of {sheets.names['train']}", ""
        if test is not None:
            units = ids if sheets.units is None else set(sheets.units)
            same = [column for column in test if column in train and set(test[column]) in (ids, units)]
            if same:
                return same[0], f"its values in {sheets.names['test']} are the sample's {header!r}", ""
            if joined := find_template(train, test, ids):
                return joined, f"these columns of {sheets.names['test']} make the sample's {header!r}", ""
        if sheets.units is not None and (named := [column for column in train if sheets.best_share(column) == 1]):
            return named[0], f"names the images, and the sample's {header!r} are of it and a target", ""
        alike = [column for column in train if column.lower() == header.lower() and train[column].is_unique]
        if alike:
            return alike[0], f"called as the sample's {header!r}", ""
    unique = [column for column in train if train[column].is_unique and column not in sheets.bands]
    if not unique and (named := [column for column in train if sheets.best_share(column) == 1]):
        return named[0], "names the images", f"is {named[0]!r} the id, though some stand there twice?"
    if not unique:
        return (
            UNKNOWN,
            "not to be concluded",
            f"which column (or which together, as in '{{a}}_{{b}}') is the id? {list_columns(train)}",
        )
    unique.sort(key=lambda column: (-sheets.best_share(column), not re.search("id|image|file|name", column, re.I)))
    others = ", ".join(unique[:MOST_SHOWN])
    if sheets.best_share(unique[0]) == 1:
        sole = sample is None and sum(sheets.best_share(column) == 1 for column in unique) == 1
        return (
            unique[0],
            "different in each row, and names the images",
            "" if sole else f"is {unique[0]!r} the id ({others} would do)?",
        )
    if len(unique) == 1 or re.search(r"(^|_)id$|^id", unique[0], re.I):
        sole = len(unique) == 1 and sample is None
        why = f"different in each of the {len(train)} rows"
        return unique[0], why, "" if sole else f"is {unique[0]!r} the id ({others} would do)?"
    return UNKNOWN, "not to be concluded", f"which column is the id ({others} are different in each row)?"


def find_template(train: pd.DataFrame, test: pd.DataFrame, ids: set[str]) -> str | None:
    """Two columns of both tables whose values, joined, are the sample's ids."""
    first = min(ids, default="")
    both = [column for column in test if column in train and test[column].nunique() <= len(ids)]
    parts = [column for column in both if any(value and value in first for value in test[column].unique())]
    few = test.head(FEW_ROWS)
    for one, other in permutations(parts, 2):
        for joint in JOINTS:
            if set(few[one] + joint + few[other]) <= ids and set(test[one] + joint + test[other]) == ids:
                return f"{{{one}}}{joint}{{{other}}}"
    return None


# ---- the images ----------------------------------------------------------------------------------------------------------


def conclude_images(sheets: Sheets, found_id: str, notes: Notes) -> str | None:
    """`dataset.images`, `test_images`, and the column of paths (returned) where ids do not name the images."""
    if sheets.bands:
        notes.add(
            "dataset.bands", list(sheets.bands), f"each cell of {name_few(sheets.bands)} is a picture, as a list of numbers"
        )
        return None
    if notes.get("dataset.folders") is not None:
        conclude_test_images(sheets, None, notes)
        return None
    row = notes.get("dataset.row") or found_id
    column = choose_image(sheets, None if row == UNKNOWN else row)
    column = notes.settled.get("dataset.image", column)
    places = sheets.places("train", sheets.train, column) if column is not None else []
    tests = sheets.list_tests(row)
    ids = name_rows(sheets.train, row).tolist() if row != UNKNOWN and name_columns(row, sheets.train) <= set(sheets.train) else []
    if not places and conclude_endings(sheets.listing, row, ids, tests, notes):
        return None
    if not places:
        some = [name for name in sheets.listing.folders if name != "."][:MOST_SHOWN] or ["."]
        names = f"(they are called {name_few(sheets.train[row].head(3).tolist())})" if row in sheets.train else ""
        there = ", ".join(some) if sheets.listing.images else "no folder or archive here holds any: unpack them"
        if unlisted := sheets.listing.unlisted:
            there += f"; damaged, empty or compressed: {name_few(unlisted)}"
        notes.ask("dataset.images", f"where are the training images {names}? {there}")
    else:
        add_images(sheets, column, places, notes)
    if column is not None and column != row:
        notes.add("dataset.image", column, f"its values name the images; those of {row!r} do not")
    conclude_test_images(sheets, column if column is not None and column != row else None, notes)
    return column if column != row else None


def choose_image(sheets: Sheets, row: str | None) -> str | None:
    """The column that names most images; the row's own where it names as many."""
    train = sheets.train
    many = [column for column in train if column != row and train[column].nunique() > len(train) / 2]
    many.sort(key=lambda column: not re.search("image|file|path|name|id", column, re.I))
    columns = [*([row] if row is not None and name_columns(row, train) <= set(train) else []), *many[:MOST_COLUMNS]]
    best = max(
        columns,
        key=lambda column: (sheets.best_share(column) > 0, sheets.tests_named(column), sheets.best_share(column)),
        default=None,
    )
    return best if best is not None and sheets.best_share(best) > 0 else None


def add_images(sheets: Sheets, column: str, places: Sequence[Place], notes: Notes) -> None:
    place = next((place for place in places if place.name == notes.settled.get("dataset.images")), places[0])
    copies = [other for other in places[1:] if other.share == place.share and set(other.suffixes) - set(place.suffixes)]
    copies = [other for other in copies if not is_around(place.name, other.name)]
    looked = min(len(sheets.train), len(pick(sheets.train.iloc[:, 0])))
    why = f"holds {place.share:.0%} of {looked} images looked up by {column!r}, as {', '.join(place.suffixes)}"
    question = "" if place.share == 1 else f"are some images missing in {place.name}, or elsewhere?"
    if copies:
        question = (
            "the same names are in "
            + ", ".join(f"{other.name} ({', '.join(other.suffixes)})" for other in copies)
            + ": which are meant?"
        )
    notes.add("dataset.images", place.name, why, question)
    if place.doubled and len(place.suffixes) > 1:
        likely = next((suffix for suffix in place.suffixes if suffix in PICTURES), place.suffixes[0])
        others = ", ".join(suffix for suffix in place.suffixes if suffix != likely)
        notes.add("dataset.extension", likely, f"{place.doubled} names have several files", f"or are {others} meant?")
    if ".npy" in place.suffixes:
        ask_planes(sheets, place, notes)


def is_around(one: str, other: str) -> bool:
    return other == "." or one.startswith(other + "/") or other.startswith(one + "/")


def ask_planes(sheets: Sheets, place: Place, notes: Notes) -> None:
    """Arrays of many channels: which of them are kept."""
    path = next((path for path in sheets.listing.below(place.name) if path.endswith(".npy")), None)
    if path is None or place.is_archive:
        return
    try:
        array = np.load(sheets.data / place.name / path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return  # whoever reads the images says which are broken
    if array.ndim == 3 and min(array.shape) > FEW_PLANES:
        planes = min(array.shape)
        choice = f"planes: [{', '.join(map(str, range(planes)))}]"
        question = f"are all {planes} planes wanted? Else take the line below with those that are"
        notes.add("dataset.planes", None, f"an array is {array.dtype} {array.shape}", question, choice)


def conclude_test_images(sheets: Sheets, image: str | None, notes: Notes) -> None:
    """Where the test images lie, if elsewhere; of copies in several formats, those of the training images' format."""
    table = sheets.test if sheets.test is not None else sheets.sample
    if table is None:
        return
    if sheets.test is None and sheets.units is not None:
        table = pd.DataFrame({table.columns[0]: sheets.units})
    named = next((name for name in (image, notes.get("dataset.row"), notes.get("dataset.id")) if name in table), table.columns[0])
    images = notes.get("dataset.images")
    trained = image or notes.get("dataset.row") or notes.get("dataset.id")
    taken = [set(place.suffixes) for place in sheets.found.get(("train", trained), []) if place.name == images]
    places = sheets.places("test", table, named)
    if not places:
        why = "no folder holds the test images: no test set yet"
        notes.add("dataset.test_images", "test_images", why, "where will the test images be?")
        return
    best = min(
        places, key=lambda place: (-place.share, not any(set(place.suffixes) & each for each in taken), places.index(place))
    )
    if best.name != images:
        notes.add("dataset.test_images", best.name, f"holds {best.share:.0%} of the test images")
