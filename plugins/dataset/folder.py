"""Dataset `folder`: a folder of images per class, or the class in the images' names; no training table.

There may be folders (or archives) train, valid and test around them. Class folders below the test folder are answers and are
left unread: a test row has an id and an image, nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd

from comp.api import PICTURES, DataError, Tables, plugin

from ._places import Places, compose, name_few, place_inside
from ._reading import PixelWishes, make_reader
from ._tables import read_sheet


@plugin("dataset")
def folder(
    root: Path,
    facts: Mapping[str, Any] | None = None,
    /,
    *,
    data: str = ".",
    train: str = "train",
    valid: str | None = None,
    test: str | None = None,
    sample: str | None = None,
    label: str | None = None,
) -> Tables:
    """A folder per class, or the class in each image's name. Its column is `label`; the column `part` says `train` or `valid`.

    Ids are paths from `data`, as in `train/cat/001.jpg`; of test images those of the sample, where there is one that
    names them rather than numbering its rows from 0 (then in the order of their paths). In that order 2.jpg is before 10.jpg.

    Args:
        data: folder of the competition's files; relative to the workspace, or absolute.
        train: the folder that holds the class folders, from `data`; "." for `data` itself; or a zip or plain tar of the same.
        valid: a second such folder, joined to the training rows (`split: {use: column, column: part, held_out: [valid]}`
            keeps it apart), or null.
        test: folder of the test images, with or without folders below it, or a zip or plain tar of them, or null.
        sample: the sample submission, or null.
        label: where the class stands in an image's path, from the train folder: a regular expression with one group, e.g.
            "(cat|dog)\\."; null: in the first folder's name.

    Raises:
        DataError: no such folder, no class folders, images outside them or without the class in their name, a sample whose ids
            name no images.

    Example: {use: folder, data: flowers, train: train, test: test}
    """
    base = (root / Path(data).expanduser()).resolve()
    lister = Lister(base, Places(base, None), read_pattern(label))
    rows = []
    for part, name in (("train", train), ("valid", valid)):
        if name is not None:
            skipped = [other for other in (valid, test) if other is not None] if name == "." else []
            rows += [(path, found, part) for path, found in lister.list_classes(name, f"dataset.{part}", skipped)]
    table = pd.DataFrame(rows, columns=["id", "label", "part"], dtype=str)
    table.insert(0, "row_id", table["id"])
    table.insert(2, "image", table["id"])
    sample_table = read_sheet(place_inside(base, sample, "dataset.sample")).rows if sample is not None else None
    table["label"] = write_as(table["label"], sample_table)
    test_table = lister.open_test(test, sample_table)
    read, facts = make_reader(base, PixelWishes(), lister.places.holders, table["image"].tolist(), facts)
    return Tables(
        train=table,
        test=test_table,
        sample=sample_table,
        id_column="id" if sample_table is None else str(sample_table.columns[0]),
        targets=("label",),
        files=(),
        root=base,
        read=read,
        facts=facts,
    )


def read_pattern(label: str | None) -> re.Pattern[str] | None:
    """Raises: DataError: no regular expression, or none with one group."""
    if label is None:
        return None
    try:
        pattern = re.compile(label)
    except re.error as error:
        raise DataError(f"dataset.label: {label!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise DataError(
            f"dataset.label: {label!r} has {pattern.groups} groups; wanted one, around the class, as in (cat|dog)\\. "
            "(others that are needed become (?:...))"
        )
    return pattern


@dataclass(frozen=True)
class Lister:
    """Lists the images of a folder or an archive, with their classes or ids.

    Attributes:
        base: the data's folder.
        pattern: finds the class in an image's path; None: it is the first folder's name.
    """

    base: Path
    places: Places
    pattern: re.Pattern[str] | None

    def list_classes(self, name: str, key: str, skipped: Sequence[str]) -> list[tuple[str, str]]:
        """(path from `base`, class) of each image, in the paths' order."""
        place = place_inside(self.base, name, key)
        prefix, paths, head = self.list_images(name, key)
        paths = [path for path in paths if not path.startswith(tuple(f"{other}/" for other in skipped))]
        labels = [self.read_label(path.removeprefix(head)) for path in paths]
        lost = [path for path, label in zip(paths, labels, strict=True) if not label]
        if lost and self.pattern is None:
            raise DataError(
                f"{place}: {len(lost)} images lie outside any class folder, e.g. {lost[0]}; where the class stands in an image's "
                "name, dataset.label says where"
            )
        if lost:
            raise DataError(
                f"{place}: dataset.label finds no class in the names of {len(lost)} of {len(paths)} images: {name_few(lost)}"
            )
        if not paths:
            raise DataError(f"{place} holds no class folders with images" if self.pattern is None else f"{place} holds no images")
        return [(prefix + path, label) for path, label in zip(paths, labels, strict=True)]

    def read_label(self, path: str) -> str:
        """The class in a path; "" where there is none."""
        if self.pattern is None:
            return path.partition("/")[0] if "/" in path else ""
        found = self.pattern.search(path)
        return found[1] or "" if found else ""

    def list_images(self, name: str, key: str) -> tuple[str, list[str], str]:
        """Where they lie (from `base`, with a slash), their paths from there in order, and the folder that an archive adds."""
        place = place_inside(self.base, name, key)
        if not place.exists():
            raise DataError(
                f"there is no folder {place}; {key} names the folder that holds a folder per class, or an archive of it"
            )
        index = self.places.index(name, key)
        # Anything else in the folders (Thumbs.db, notes) is passed over.
        paths = sorted((path for path in index.paths if PurePosixPath(path).suffix.lower() in PICTURES), key=order_naturally)
        strange = [path for path in paths if not is_text(path)]
        if strange:
            raise DataError(f"{place}: the name {ascii(strange[0])} is not UTF-8; rename it")
        return index.prefix, paths, find_head(paths, 0 if self.pattern else 1) if place.is_file() else ""

    def open_test(self, name: str | None, sample: pd.DataFrame | None) -> pd.DataFrame | None:
        """`row_id`, `id`, `image` of each test image; None where there is no such folder."""
        if name is None or not place_inside(self.base, name, "dataset.test").exists():
            return None
        prefix, paths, _ = self.list_images(name, "dataset.test")
        images = [prefix + path for path in paths]
        ids = images if sample is None else name_by_sample(images, sample.iloc[:, 0].tolist())
        return pd.DataFrame({"row_id": ids, "id": ids, "image": images}, dtype=str)


def write_as(labels: pd.Series, sample: pd.DataFrame | None) -> pd.Series:
    """The labels with one code point a letter, unless the sample writes letters apart: it depends on who made the folders."""
    texts = [] if sample is None else [*sample.columns, *(cell for column in sample for cell in sample[column].unique())]
    form: Literal["NFC", "NFD"] = "NFD" if any(text != compose(text) for text in texts) else "NFC"
    return labels.map(lambda label: unicodedata.normalize(form, label)).astype(object)


def name_by_sample(images: list[str], ids: list[str]) -> list[str]:
    """The sample's id of each image: its path, its path in the test folder or its name, with or without an extension.

    A sample whose ids are 0, 1, 2, ... without being such names (`,answer value`) numbers its rows: it leaves the images their
    paths.

    Raises:
        DataError: the sample names other images than there are.
    """
    by_name: dict[str, str | None] = {}
    for path in images:
        inside, alone = path.partition("/")[2], path.rpartition("/")[2]
        for full in (path, inside, alone):
            for key in {full, full.removesuffix(PurePosixPath(full).suffix)}:
                by_name[compose(key)] = path if by_name.get(compose(key), path) == path else None
    named = {by_name.get(compose(text)): text for text in ids}
    absent = [text for text in ids if by_name.get(compose(text)) is None]
    extra = [path for path in images if path not in named]
    if absent and ids == [str(number) for number in range(len(images))]:
        return images
    if absent:
        raise DataError(
            f"{len(absent)} ids of the sample name no image of the test folder, or several: {', '.join(map(repr, absent[:3]))}"
        )
    if extra:
        raise DataError(f"{len(extra)} test images are not in the sample: {', '.join(map(repr, extra[:3]))}")
    return [named[path] for path in images]


def find_head(paths: Sequence[str], below: int) -> str:
    """The folders, with a slash, that all of an archive's images lie in; so many are left below them."""
    heads = {path.partition("/")[0] for path in paths}
    if len(heads) != 1 or min(path.count("/") for path in paths) <= below:
        return ""
    head = heads.pop() + "/"
    return head + find_head([path.removeprefix(head) for path in paths], below)


def is_text(path: str) -> bool:
    """Whether no byte of a file's name was anything but UTF-8."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def order_naturally(path: str) -> list[str | int]:
    """A key by which a/2.jpg comes before a/10.jpg."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", path))]
