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


@plugin("dataset")
def digits(root: Path, /) -> Tables:
    """Scikit-learn's handwritten digits: 1,347 to train on, 450 to test on, 8 px; nothing is downloaded.

    Raises:
        DataError: scikit-learn's file is not as expected.

    Example: {use: digits}
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
    train = pd.DataFrame({"id": [name_row(row) for row in labels], "label": list(labels.values())}, dtype=str)
    test = pd.DataFrame({"id": [name_row(row) for row in sorted(test_rows)]}, dtype=str)
    for table in (train, test):
        table["row_id"] = table["image"] = table["id"]
    return Tables(
        train=train[["row_id", "id", "image", "label"]],
        test=test[["row_id", "id", "image"]],
        sample=pd.DataFrame({"id": test["id"], "label": "0"}, dtype=str),
        id_column="id",
        targets=("label",),
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
