"""Places: where images lie (a folder with folders below it, or an archive), and which of them a text of a table means."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from comp.api import ARRAYS, PICTURES, DataError

from ._archives import ArrayOfImages, Holder, open_holder

KNOWN_SUFFIXES = PICTURES | ARRAYS
MARKS = re.compile(r"\.\.|^/|[\\:\0]")
"""What a path that leads out of its folder has."""


class Places:
    """The folders and archives of one data set; each is listed once.

    Attributes:
        holders: archives and arrays that were opened, by their path from the data's folder.
    """

    def __init__(self, root: Path, extension: str | None) -> None:
        self.root, self.extension = root, extension
        self.holders: dict[str, Holder | None] = {}
        self._indexes: dict[str, FileIndex] = {}

    def has_images(self, name: str, key: str) -> bool:
        """Whether there is such a folder with anything in it, or such a file."""
        place = place_inside(self.root, name, key)
        return place.is_file() or (place.is_dir() and any(place.iterdir()))

    def index(self, name: str, key: str) -> FileIndex:
        """Raises: DataError: there is no such folder, nor an archive."""
        place = place_inside(self.root, name, key)
        prefix = "" if place == self.root else place.relative_to(self.root).as_posix() + "/"
        if prefix not in self._indexes:
            if place.is_file():
                holder = self.holders[prefix[:-1]] = open_holder(place)
                names, numbered = holder.names, isinstance(holder, ArrayOfImages) or getattr(holder, "whole", None) is not None
                self._indexes[prefix] = FileIndex(names, prefix, None if numbered else self.extension, numbered=numbered)
            elif place.is_dir():
                self._indexes[prefix] = FileIndex(list_files(place), prefix, self.extension)
            else:
                raise DataError(f"{key}: there is no folder {place}")
        return self._indexes[prefix]

    def find(self, given: Sequence[str], name: str, key: str, whose: str, optional: bool = False) -> list[str] | None:
        """The reference of each image, worked out from what there is; None: `optional`, and none is there.

        A text that names nothing keeps the path where it was expected; an empty one stays empty.

        Args:
            given: how a table names the images.
            whose: the table, for messages.

        Raises:
            DataError: names that lead outside, that fit several files, or none of which is there.
        """
        index = self.index(name, key)
        place = self.root / name
        outside = [text for text in given if leads_outside(text)]
        if outside:
            raise DataError(f"{whose}: {len(outside)} images lead out of {self.root}: {name_few(outside)}")
        if index.numbered:
            return self._number(given, index, whose)
        found, texts = self._look_up(given, index)
        unclear = [text for text, path in zip(given, found, strict=True) if path == FileIndex.SEVERAL]
        if unclear:
            raise DataError(
                f"{whose}: {len(unclear)} images fit several files in {place}: {name_few(unclear)}; say which: dataset.extension "
                f"(the first fits {name_few(index.list_fits(unclear[0]))}), or write their paths into the table"
            )
        if any(texts) and not any(found):
            if optional:
                return None
            there = name_few(list(index.paths)) or "nothing"
            wanted = name_few([text for text in given if text])
            raise DataError(f"{whose}: none of its {len(given)} images is in {place}; wanted {wanted}; there is {there}")
        guess = index.usual_suffix()
        return [path or self._expect(index.prefix, text, guess) for text, path in zip(texts, found, strict=True)]

    def _look_up(self, given: Sequence[str], index: FileIndex) -> tuple[list[str | None], list[str]]:
        """What is found, and how each image is named then: without a folder that all names begin with and that is not there."""
        texts = list(given)
        while True:
            found = [index.find(text) for text in texts]
            heads = {text.partition("/")[0] if "/" in text else "" for text in texts if text}
            if any(found) or len(heads) != 1 or not (head := heads.pop()):
                return found, texts
            texts = [text.removeprefix(head + "/") for text in texts]

    def _expect(self, prefix: str, text: str, suffix: str) -> str:
        return prefix + re.sub("/+", "/", text) + ("" if PurePosixPath(text).suffix == suffix else suffix) if text else ""

    def _number(self, given: Sequence[str], index: FileIndex, whose: str) -> list[str]:
        """The images of one array: by number where the table gives numbers within it, else in the table's order."""
        count = len(index.paths)
        if not all(text in index.paths for text in given):
            if len(given) != count:
                raise DataError(f"{whose} has {len(given)} rows, {index.prefix[:-1]} {count} images; wanted one for each row")
            return [f"{index.prefix}{number}" for number in range(count)]
        return [index.prefix + text for text in given]


class FileIndex:
    """The files of a place by path, from the folder that holds all images, and by name alone; all without extension, too.

    Attributes:
        paths: from the place.
        top: the folder that all its images lie below, with a slash (an archive's own, often); empty where there is none.
        prefix: the place itself, from the data's folder, with a slash; empty for that folder.
        numbered: whether they are the numbers of an array's images.
    """

    SEVERAL = "\0"

    def __init__(self, paths: Sequence[str], prefix: str, extension: str | None, *, numbered: bool = False) -> None:
        if extension is not None:
            dotted = "." + extension.lstrip(".")
            paths = [path for path in paths if path.lower().endswith(dotted.lower())]
        self.paths = dict.fromkeys(paths)
        self.prefix, self.numbered, self.top = prefix, numbered, find_top(paths)

    @cached_property
    def _short(self) -> dict[str, str]:
        """What else each path may be called -> the path, or SEVERAL. Made where a path itself is not what is sought."""
        found: dict[str, str] = {}
        for path in self.paths:
            for key in self._shorten(path) - {path}:
                found[key] = self.SEVERAL if key in found else path
        return found

    def _shorten(self, path: str) -> set[str]:
        """What else a path may be called."""
        stem, name = os.path.splitext(path)[0], path.rfind("/") + 1
        below = len(self.top) if path.startswith(self.top) else 0
        names = {stem, path[below:], stem[below:], path[name:], stem[name:]}
        return names if path.isascii() else names | {compose(text) for text in (path, *names)}

    def find(self, text: str) -> str | None:
        """The reference of what the text names; None if nothing, SEVERAL if more than one file."""
        text = text.removeprefix("./")
        for name in dict.fromkeys((text, text.removeprefix(self.prefix), compose(text))) if text else ():
            if name in self.paths:
                return self.prefix + name
            path = self._short.get(name)
            if path is not None:
                return path if path == self.SEVERAL else self.prefix + path
        return None

    def list_fits(self, text: str) -> list[str]:
        """All files that a text may mean."""
        names = {text, text.removeprefix("./"), text.removeprefix(self.prefix)}
        return [path for path in self.paths if names & self._shorten(path)]

    def usual_suffix(self) -> str:
        first = next(iter(self.paths), "")
        return PurePosixPath(first).suffix


def compose(text: str) -> str:
    """One code point a letter: file names from a Mac have accents, and the parts of Korean syllables, apart."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def find_top(paths: Sequence[str]) -> str:
    """The folder that all images lie below, with a slash; empty where there is none."""
    images = [path for path in paths if path.lower().endswith(tuple(KNOWN_SUFFIXES))] or paths
    # What the first and the last in order have in common, all in between have.
    common = os.path.commonprefix([min(images, default=""), max(images, default="")])
    return common[: common.rfind("/") + 1]


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


def place_inside(folder: Path, relative: str, key: str) -> Path:
    """Raises DataError where a file of the dataset would lie outside its folder."""
    if leads_outside(relative):
        raise DataError(f"{key}: {relative!r} leads out of {folder}; wanted a path inside it (the folder itself is dataset.data)")
    return folder / relative


def leads_outside(path: str) -> bool:
    if MARKS.search(path) is None:
        return False  # a plain name, or folders and a name; of a million, taking each apart takes a minute
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    return "\0" in path or posix.is_absolute() or bool(windows.anchor) or ".." in posix.parts or ".." in windows.parts


def name_few(texts: Sequence[str], most: int = 3) -> str:
    return ", ".join(map(repr, texts[:most])) + (", ..." if len(texts) > most else "")
