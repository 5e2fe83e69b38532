"""whale-categorization-playground in small: whales seen once, new_whale, grey files among coloured ones, the five likeliest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.4
SETS: tuple[str, ...] = ()

# 6 and 7 are whales of one and of two pictures, 8 and 9 those that have no name.
WHALES = (
    "w_1287fbc", "w_98baff9", "w_7554f44", "w_1eafe46", "w_693c9ee", "w_fd1cb9d",
    "w_0f1d7c2", "w_5a2634c", "new_whale", "new_whale",
)  # fmt: skip
COUNTS = (16, 15, 14, 13, 12, 12, 1, 2, 9, 9)
TEST_COUNTS = (4, 4, 3, 3, 3, 3, 1, 1, 3, 3)
SIZES_PX = ((24, 48), (30, 46), (20, 48))


def write(data: Path) -> pd.DataFrame:
    table = write_part(data, "train", COUNTS, test=False)
    table.to_csv(data / "train.csv", index=False)
    solution = write_part(data, "test", TEST_COUNTS, test=True)
    sample = solution.assign(Id="new_whale w_1287fbc w_98baff9 w_7554f44 w_1eafe46")
    sample.to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(data: Path, part: str, counts: tuple[int, ...], test: bool) -> pd.DataFrame:
    rows = []
    for number, drawing in enumerate(take_digits(counts, test)):
        image = f"{name_hex(1000 * test + number, 8)}.jpg"
        height_px, width_px = SIZES_PX[number % len(SIZES_PX)]
        drawing.save(data / part / image, height_px, width_px, grey=number % 4 == 3)
        rows.append((image, WHALES[drawing.digit]))
    return pd.DataFrame(rows, columns=["Image", "Id"]).sort_values("Image", ignore_index=True)
