"""Look: which files of a competition are its tables, by their names, and what stands in them.

What the columns mean is concluded in naming and aims; images are found by listing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comp.catalog import build_catalog
from comp.competition import is_flags
from comp.errors import CompError
from comp.listing import PARTS, Listing

TABLE = re.compile(r"(.+?)\.(csv|tsv|tab|txt|parquet|pq|json|jsonl)(\.zip|\.gz|\.7z)?", re.I)
SAMPLE = re.compile("sample|submission", re.I)
TEST = re.compile(r"(^|[^a-z])(test|eval)", re.I)
JOINTS = ("_", "-", " ", ".", "/")
FEWEST_PIXELS = 16
FEW_CLASSES = 10


@dataclass(frozen=True)
class Files:
    """The tables of a competition, from its folder, likeliest first."""

    trains: tuple[str, ...]
    tests: tuple[str, ...]
    samples: tuple[str, ...]


def find_tables(listing: Listing) -> Files:
    """Training tables, test tables and sample submissions: at the root, else in the folders there."""
    for depth in (0, 1):
        names = [path for path in listing.files if path.count("/") == depth and is_table(path)]
        samples = [path for path in names if SAMPLE.search(name_stem(path))]
        tests = [path for path in names if TEST.search(path.rpartition("/")[0] + "/" + name_stem(path)) and path not in samples]
        trains = sorted((path for path in names if path not in samples and path not in tests), key=rank_train)
        if trains or (samples and depth == 0):
            return Files(tuple(trains), tuple(sorted(tests, key=rank_packed)), tuple(sorted(samples, key=rank_packed)))
    return Files((), (), ())


def is_table(path: str) -> bool:
    match = TABLE.fullmatch(path.rpartition("/")[2])
    return bool(match) and (match[2].lower() != "txt" or bool(re.search("train|test|label|sample|submission", match[1], re.I)))


def name_stem(path: str) -> str:
    match = TABLE.fullmatch(path.rpartition("/")[2])
    assert match is not None
    return match[1]


def rank_packed(path: str) -> tuple[bool, int, str]:
    """A file before the archive of it."""
    return bool(TABLE.fullmatch(path.rpartition("/")[2])[3]), len(path), path  # type: ignore[index]


def rank_train(path: str) -> tuple:
    stem = name_stem(path).lower()
    looks = (stem != "train", "train" not in stem, "label" not in stem, bool(re.search(r"(^|[^a-z])val", stem)))
    return (*looks, *rank_packed(path))


# ---- reading -------------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> pd.DataFrame:
    """Every cell as text, as dataset `csv` reads it. Raises: DataError: it is no table."""
    return load_csv().sheet(path).rows


def load_csv() -> Any:
    """Dataset `csv`, for what it knows of tables."""
    catalog = build_catalog(None)
    plugin, _ = catalog.find("dataset", "csv")
    return catalog.load(plugin)


def read_first(root: Path, names: Sequence[str], faults: dict[str, str] | None = None) -> tuple[str | None, pd.DataFrame | None]:
    """The first of these files that is a table with columns, and its name.

    Args:
        faults: takes why a file is none, by its name.
    """
    for name in names:
        try:
            table = read_table(root / name)
        except CompError as error:
            if faults is not None:
                faults[name] = " ".join(str(error).split())
            continue
        if len(table.columns):
            return name, table
    return None, None


def widen_table(table: pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]] | None:
    """A table of two columns that has a row for each unit and label, a row a unit; what joins them, and the labels."""
    if len(table.columns) != 2 or not table.iloc[:, 0].is_unique or not is_flags(table.iloc[:, 1]):
        return None
    for separator in JOINTS:
        try:
            wide, labels = load_csv().widen(table, *table.columns, separator, "")
        except CompError:
            continue
        if 2 <= len(labels) < len(wide):
            return wide, separator, labels
    return None


def find_bands(table: pd.DataFrame) -> list[str]:
    """Columns whose cells are pictures: lists of numbers, of a square number or in rows."""
    return [column for column in table.columns if len(table) and is_picture(str(table[column].iloc[0]))]


def is_picture(cell: str) -> bool:
    if not cell.startswith("["):
        return False
    try:
        values = json.loads(cell)
        if values and isinstance(values[0], list):
            return len(values) * len(values[0]) >= FEWEST_PIXELS
        return len(values) >= FEWEST_PIXELS and math.isqrt(len(values)) ** 2 == len(values) and bool(float(values[0]) or True)
    except (ValueError, TypeError):
        return False


# ---- classes in names ----------------------------------------------------------------------------------------------------


def find_part(listing: Listing, part: str, near: bool = False) -> str | None:
    """The folder or archive of a part (train, valid, test), as it is written there; a folder first.

    They lie beside each other, at the root or in the only folder there; `seg_train/seg_train` is the inner one.

    Args:
        near: whether a name that only has the part's word in it will do (`seg_train`), if there are classes in it.
    """
    top = find_top(listing)
    prefix = "" if top == "." else top + "/"
    places = {place[len(prefix) :]: place for place in listing.folders if place.startswith(prefix) and place != top}
    beside = {name: place for name, place in places.items() if "/" not in name and name != "."}
    for name in PARTS[part]:
        for text, place in beside.items():
            if text.lower() in (name, f"{name}.zip", f"{name}.tar"):
                return find_inner(listing, place)
    words = re.compile(f"(^|[^a-z])({'|'.join(PARTS[part])})([^a-z]|$)", re.I)
    alike = [find_inner(listing, place) for text, place in beside.items() if near and words.search(text)]
    return next((place for place in alike if len(find_class_folders(listing, place)) > 1), None)


def find_top(listing: Listing) -> str:
    """The folder in which parts or classes lie beside each other: the root, or what is in a folder that is alone there."""
    parts = {name for names in PARTS.values() for name in names}
    inner = find_inner(listing, ".")
    return "." if any(name.lower() in parts for name in inner.split("/")) else inner


def find_inner(listing: Listing, place: str) -> str:
    """Of a folder that holds but another, the first further down that holds several; itself where none does."""
    inner = place
    while place not in listing.members:
        inside = listing.below(inner)
        folders = {path.partition("/")[0] for path in inside if "/" in path}
        if len(folders) != 1 or any("/" not in path for path in inside):
            return inner if len(folders) > 1 else place
        inner = folders.pop() if inner == "." else f"{inner}/{folders.pop()}"
    return place


def find_class_folders(listing: Listing, place: str) -> list[str]:
    """Names of the folders in `place` that hold images, directly or further down; parts (train, test) are none."""
    parts = {name for names in PARTS.values() for name in names}
    found = {path.partition("/")[0] for path in list_inside(listing, place) if "/" in path}
    return sorted(name for name in found if name.lower() not in parts)


def list_inside(listing: Listing, place: str) -> list[str]:
    """The images below a place; of an archive from the folder that all of them lie in."""
    paths = listing.below(place)
    while place in listing.members and len(heads := {path.partition("/")[0] for path in paths}) == 1 and "/" in min(paths):
        paths = [path.removeprefix(next(iter(heads)) + "/") for path in paths]
    return paths


def find_label_pattern(paths: Sequence[str]) -> tuple[str, list[str]] | None:
    """A pattern whose one group is the class in the files' names (`cat.17.jpg`, `cat_17.jpg`), and the classes."""
    names = [path.rpartition("/")[2] for path in paths]
    for pattern in (r"^(.*?[^\d._ -])[._ -]*\d+\.", r"^([^._ -]+)[._ -]", r"[._ -]([^._ -]+)\.[^.]+$"):
        found = [match[1] for name in names if (match := re.search(pattern, name))]
        classes = sorted(set(found))
        if len(found) == len(names) and 2 <= len(classes) <= len(names) / 2:
            if pattern.startswith("^") and len(classes) <= FEW_CLASSES:
                ends = {name[len(label)] for name, label in zip(names, found, strict=True)}
                if len(ends) == 1:
                    return f"^({'|'.join(map(re.escape, classes))}){re.escape(ends.pop())}", classes
            return pattern, classes
    return None
