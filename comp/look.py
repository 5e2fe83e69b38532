"""Look: which tables and image folders a competition handed out, found by name and by trying.

Only looks; what they mean is concluded in conclude.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from comp.errors import DataError

SUFFIXES = frozenset(".jpg .jpeg .png .bmp .gif .tif .tiff .webp .ppm .pgm .jp2".split())
PARTS = {
    "train": ("train", "training", "train_images", "trainset", "train_set"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing", "test_images", "testset", "test_set"),
}
DEPTH = 2


@dataclass(frozen=True)
class Files:
    """The tables of a competition, as text; `others`: further tables that could have been meant for training."""

    train: Path | None
    test: Path | None
    sample: Path | None
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImageFolder:
    """A folder that holds images.

    Attributes:
        name: from the data's folder, `.` for itself.
        share: how many of the images asked for are there, in [0, 1].
        suffixes: the extensions of its images, most frequent first.
    """

    name: str
    share: float
    suffixes: tuple[str, ...]


def find_tables(data: Path) -> Files:
    """The training table, test table and sample submission among the CSV files of a folder."""
    tables = sorted(
        (path for path in data.iterdir() if path.suffix.lower() == ".csv" and path.is_file()), key=lambda path: path.name
    )
    samples = [path for path in tables if re.search("sample|submission", path.stem, re.I)]
    tests = [path for path in tables if re.match("test", path.stem, re.I) and path not in samples]
    trains = [path for path in tables if path not in samples and path not in tests]
    trains.sort(
        key=lambda path: (
            path.stem.lower() != "train",
            not re.search("train", path.stem, re.I),
            not re.search("label", path.stem, re.I),
        )
    )
    return Files(trains[0] if trains else None, tests[0] if tests else None, samples[0] if samples else None, tuple(trains[1:]))


def read_table(path: Path) -> pd.DataFrame:
    """Every cell as text. Raises: DataError: it is no CSV in UTF-8."""
    try:
        return pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig", index_col=False, low_memory=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def find_part(data: Path, part: str) -> str | None:
    """The name of the folder of a part (train, valid, test), as it is written there."""
    folders = {path.name.lower(): path.name for path in sorted(data.iterdir()) if path.is_dir()}
    return next((folders[name] for name in PARTS[part] if name in folders), None)


def find_class_folders(place: Path) -> list[str]:
    """Names of the folders in `place` that hold images, directly or further down; parts (train, test) are none."""
    parts = {name for names in PARTS.values() for name in names}
    folders = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return [path.name for path in folders if path.name.lower() not in parts and next(list_images(path), None) is not None]


def list_images(place: Path):  # noqa: ANN201
    """Yields the paths, from `place`, of the images below it."""
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = "" if Path(folder) == place else Path(folder).relative_to(place).as_posix() + "/"
        yield from (
            prefix + name for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
        )


def rank_image_folders(data: Path, part: str, wanted: Sequence[str]) -> list[ImageFolder]:
    """The folders that hold some of the images `wanted` (ids, names or paths), best first.

    Of folders that hold as many, one named after the part comes first, then the one that is nearest.
    """
    folders = [Path(folder) for folder, _, _ in os.walk(data) if len(Path(folder).relative_to(data).parts) <= DEPTH]
    found = []
    for place in folders:
        name = place.relative_to(data).as_posix()
        if any(piece.startswith(".") for piece in place.relative_to(data).parts):
            continue
        names, suffixes = set(), {}
        for image in list_images(place):
            stem, suffix = os.path.splitext(image)
            names |= {image, stem, os.path.basename(image), os.path.basename(stem)}
            suffixes[suffix] = suffixes.get(suffix, 0) + 1
        prefix = "" if name == "." else name + "/"
        share = sum(text.removeprefix(prefix) in names for text in wanted) / max(1, len(wanted))
        if share > 0:
            found.append(ImageFolder(name, share, tuple(sorted(suffixes, key=suffixes.get, reverse=True))))
    named = re.compile("|".join(PARTS[part]), re.I)
    return sorted(
        found,
        key=lambda folder: (
            -folder.share,
            not named.search(folder.name),
            folder.name == ".",
            folder.name.count("/"),
            folder.name,
        ),
    )
