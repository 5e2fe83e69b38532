"""plant-pathology-2021-fgvc8 in small: names of diseases joined by spaces; a healthy leaf has no other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.3
SETS: tuple[str, ...] = ("train.epochs=25",)

# Ten of the twelve combinations of the six labels.
SETS_OF_DIGITS = (
    "healthy",
    "scab",
    "frog_eye_leaf_spot",
    "rust",
    "complex",
    "powdery_mildew",
    "scab frog_eye_leaf_spot",
    "scab frog_eye_leaf_spot complex",
    "rust frog_eye_leaf_spot",
    "powdery_mildew complex",
)
COUNTS = (18, 18, 16, 14, 12, 10, 10, 8, 8, 6)


def write(data: Path) -> pd.DataFrame:
    table = write_part(data, "train", COUNTS, test=False)
    table.to_csv(data / "train.csv", index=False)
    solution = write_part(data, "test", (3,) * 10, test=True)
    solution.assign(labels="healthy").to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(data: Path, part: str, counts: tuple[int, ...], test: bool) -> pd.DataFrame:
    rows = []
    for number, drawing in enumerate(take_digits(counts, test)):
        image = f"{name_hex(1000 * test + number, 16)}.jpg"
        drawing.save(data / f"{part}_images" / image, 32, 48)
        rows.append((image, SETS_OF_DIGITS[drawing.digit]))
    return pd.DataFrame(rows, columns=["image", "labels"]).sort_values("image", ignore_index=True)
