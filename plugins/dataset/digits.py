"""Dataset `digits`: the handwritten digits that come with scikit-learn, so that everything can be tried offline.

Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998, UCI): 1,797 images of 8 × 8 px, here 1,347 to train on
and 450 as the test set. The answers of the 450 are in the same file; this module leaves them unread. Only the leaderboard
plugin `digits` reads them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import DataError, Tables, plugin

ROWS, TRAIN_ROWS, SIDE_PX, INK = 1797, 1347, 8, 16
PARTS = ("high", "rest")
# The file does not name its 13 writers; where each begins is seen by the digits 0 to 9 in order (as the scikit-learn MOOC counts
# them, "Sample grouping": one of them stands there twice).
FIRST_ROWS = (0, 130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667)


@plugin("dataset")
def digits(
    root: Path,
    /,
    *,
    target: str | list[str] = "label",
    auxiliary: list[str] = [],  # noqa: B006 (a literal, as a signature that is a schema needs)
) -> Tables:
    """Scikit-learn's handwritten digits: 1,347 to train on, 450 to test on, 8 px; nothing is downloaded.

    Columns are `label`, 0 to 9, and its two parts: `high`, 1 from 5 on, and `rest`, 0 to 4 (label = high*5 + rest); `writer`, 1
    to 14: what was written in one go, and so may be kept in one fold.

    Args:
        target: column of the target, or a list of columns.
        auxiliary: columns that are trained as targets, too, and not scored.

    Raises:
        DataError: scikit-learn's file is not as expected; no such column.

    Example: {use: digits, auxiliary: [high, rest]}
    """
    path = find_file()
    test_rows = choose_test_rows()
    pixels = np.empty((ROWS, SIDE_PX, SIDE_PX), dtype=np.uint8)
    labels: dict[int, str] = {}
    with gzip.open(path, "rt", encoding="ascii") as file:
        for row, line in enumerate(file):
            text, _, label = line.rpartition(",")
            values = np.array(text.split(","), dtype=np.float32)
            if row >= ROWS or values.size != SIDE_PX * SIDE_PX:
                raise DataError(f"{path}: line {row + 1} is not one of {ROWS} digits of {SIDE_PX} × {SIDE_PX} px")
            pixels[row] = np.rint(values.reshape(SIDE_PX, SIDE_PX) * (255 / INK))
            if row not in test_rows:
                labels[row] = str(int(float(label)))
    if len(labels) != TRAIN_ROWS:
        raise DataError(f"{path}: fewer than {ROWS} digits")
    writers = np.searchsorted(FIRST_ROWS, list(labels), side="right").astype(str)
    parts = [divmod(int(label), 5) for label in labels.values()]
    columns = {"label": list(labels.values()), **dict(zip(PARTS, zip(*parts), strict=True)), "writer": writers}
    train = pd.DataFrame({"id": [name_row(row) for row in labels], **columns}, dtype=str)
    targets = (target,) if isinstance(target, str) else tuple(target)
    absent = [column for column in (*targets, *auxiliary) if column not in train or column == "id"]
    if absent:
        raise DataError(f"dataset digits has no column {absent[0]!r} to predict; it has {', '.join(train.columns.drop('id'))}")
    test = pd.DataFrame({"id": [name_row(row) for row in sorted(test_rows)]}, dtype=str)
    for table in (train, test):
        table["row_id"] = table["image"] = table["id"]
    return Tables(
        train=train[["row_id", "id", "image", *train.columns.drop(["row_id", "id", "image"])]],
        test=test[["row_id", "id", "image"]],
        sample=pd.DataFrame({"id": test["id"], **dict.fromkeys(targets, "0")}, dtype=str),
        id_column="id",
        targets=targets,
        auxiliary=tuple(auxiliary),
        files=(path,),
        root=root,
        read=ReadDigit(pixels),
    )


@dataclass(frozen=True, eq=False)
class ReadDigit:
    """Reads an image by its name: `digit_0001` -> (8, 8) uint8. Holds `pixels` (1797, 8, 8) uint8."""

    pixels: np.ndarray

    def __call__(self, name: str) -> np.ndarray:
        return self.pixels[int(name.removeprefix("digit_")) - 1]


def find_file() -> Path:
    """Where scikit-learn keeps the digits. Looked up without importing it, which takes two seconds."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("the digits come with scikit-learn, which is not installed here: pip install scikit-learn")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def choose_test_rows() -> frozenset[int]:
    """The rows of the file that are the test set. RandomState's stream is frozen by numpy's policy, default_rng's is not."""
    return frozenset(np.random.RandomState(2024).permutation(ROWS)[TRAIN_ROWS:].tolist())


def name_row(row: int) -> str:
    return f"digit_{row + 1:04d}"
