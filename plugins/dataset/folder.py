"""Dataset `folder`: a folder of images per class, with or without folders train, valid and test around them.

The names of the class folders are the labels. Class folders below the test folder are answers and are left unread: a test
row has an id and an image, nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from comp.api import DataError, Tables, plugin

# What competitions hand out as images; anything else in the folders (Thumbs.db, notes) is passed over.
SUFFIXES = frozenset(".jpg .jpeg .png .bmp .gif .tif .tiff .webp .ppm .pgm .jp2".split())


@plugin("dataset")
def folder(
    root: Path,
    /,
    *,
    data: str = ".",
    train: str = "train",
    valid: str | None = None,
    test: str | None = None,
    sample: str | None = None,
) -> Tables:
    """A folder per class. The column of the class is `label`; the column `part` says `train` or `valid`.

    Ids are paths from `data`, as in `train/cat/001.jpg`; of test images those of the sample, where there is one that
    names them rather than numbering its rows from 0 (then in the order of their paths).

    Args:
        data: folder of the competition's files; relative to the workspace, or absolute.
        train: the folder that holds the class folders, from `data`; "." for `data` itself.
        valid: a second such folder, joined to the training rows (`split: {use: column, column: part, held_out: [valid]}`
            keeps it apart), or null.
        test: folder of the test images, with or without folders below it, or null.
        sample: the sample submission, or null.

    Raises:
        DataError: no such folder, no class folders, images outside them, a sample whose ids name no images.

    Example: {use: folder, data: flowers, train: train, test: test}
    """
    base = (root / Path(data).expanduser()).resolve()
    rows = []
    for part, name in (("train", train), ("valid", valid)):
        if name is not None:
            skipped = [other for other in (valid, test) if other is not None] if name == "." else []
            rows += [(path, label, part) for path, label in list_classes(base, name, skipped)]
    table = pd.DataFrame(rows, columns=["id", "label", "part"], dtype=str)
    table.insert(0, "row_id", table["id"])
    table.insert(2, "image", table["id"])
    sample_table = read_sample(base / check_inside(sample, "dataset.sample")) if sample is not None else None
    return Tables(
        train=table,
        test=open_test(base, test, sample_table),
        sample=sample_table,
        id_column="id" if sample_table is None else str(sample_table.columns[0]),
        targets=("label",),
        files=(),
        root=base,
    )


def list_classes(base: Path, name: str, skipped: list[str]) -> list[tuple[str, str]]:
    """(path from `base`, class) of each image, sorted."""
    place = base / check_inside(name, "dataset.train")
    if not place.is_dir():
        raise DataError(f"there is no folder {place}; dataset.train names the folder that holds a folder per class")
    prefix = "" if name == "." else PurePosixPath(name).as_posix() + "/"
    found, loose = [], []
    for path in list_images(place):
        label, slash, _ = path.partition("/")
        if not slash:
            loose.append(path)
        elif label not in skipped:
            found.append((prefix + path, label))
    if loose:
        raise DataError(f"{place}: {len(loose)} images lie outside any class folder, e.g. {loose[0]}")
    if not found:
        raise DataError(f"{place} holds no class folders with images")
    return found


def open_test(base: Path, name: str | None, sample: pd.DataFrame | None) -> pd.DataFrame | None:
    """`row_id`, `id`, `image` of each test image; None where there is no such folder."""
    if name is None or not (place := base / check_inside(name, "dataset.test")).is_dir():
        return None
    prefix = PurePosixPath(name).as_posix() + "/"
    images = [prefix + path for path in list_images(place)]
    named = [] if sample is None else sample.iloc[:, 0].tolist()
    # `,answer value`: a sample that numbers its rows means the images in their order.
    numbered = named == [str(number) for number in range(len(images))]
    ids = images if sample is None or numbered else name_by_sample(images, named)
    return pd.DataFrame({"row_id": ids, "id": ids, "image": images}, dtype=str)


def name_by_sample(images: list[str], ids: list[str]) -> list[str]:
    """The sample's id of each image: its path, its path in the test folder or its name, with or without an extension."""
    by_name: dict[str, str | None] = {}
    for path in images:
        inside, alone = path.partition("/")[2], path.rpartition("/")[2]
        for full in (path, inside, alone):
            for key in {full, full.removesuffix(PurePosixPath(full).suffix)}:
                by_name[key] = path if by_name.get(key, path) == path else None
    named = {by_name.get(text): text for text in ids}
    absent = [text for text in ids if by_name.get(text) is None]
    extra = [path for path in images if path not in named]
    if absent:
        raise DataError(
            f"{len(absent)} ids of the sample name no image of the test folder, or several: {', '.join(map(repr, absent[:3]))}"
        )
    if extra:
        raise DataError(f"{len(extra)} test images are not in the sample: {', '.join(map(repr, extra[:3]))}")
    return [named[path] for path in images]


def list_images(place: Path) -> list[str]:
    """The images below a folder, as sorted relative paths. Links to folders are followed, but no circle twice."""
    found, seen = [], set()
    for folder_path, folders, names in os.walk(place, followlinks=True):
        real = os.path.realpath(folder_path)
        folders[:] = [name for name in folders if not name.startswith(".")] if real not in seen else []
        if real in seen:
            continue
        seen.add(real)
        prefix = "" if Path(folder_path) == place else Path(folder_path).relative_to(place).as_posix() + "/"
        found += [prefix + name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")]
    return sorted(found)


def read_sample(path: Path) -> pd.DataFrame:
    """Raises: DataError: no such file, or no CSV in UTF-8."""
    try:
        table = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig")
        # pandas makes up a name for a column without one; a submission must not have it.
        return table.rename(columns=lambda name: re.sub(r"Unnamed: \d+", "", name))
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"dataset.sample: {path} cannot be read: {error}") from error


def check_inside(name: str, key: str) -> str:
    """Raises: DataError: the name leads out of `data`."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DataError(f"{key}: {name!r} leads out of the dataset's folder (which is dataset.data)")
    return name
