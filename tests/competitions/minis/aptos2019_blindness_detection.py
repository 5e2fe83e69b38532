"""APTOS 2019: grades 0 to 4, PNG of many sizes, ids without extension, test.csv lists the test ids. The grade is the digit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.65
SETS: tuple[str, ...] = ()
TRAIN_COUNTS = (59, 14, 32, 12, 12)
TEST_COUNTS = (18, 4, 10, 3, 3)


def write(data: Path) -> pd.DataFrame:
    write_part(data / "train_images", test=False).to_csv(data / "train.csv", index=False)
    solution = write_part(data / "test_images", test=True)
    solution[["id_code"]].to_csv(data / "test.csv", index=False)
    solution.assign(diagnosis="0").to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(folder: Path, test: bool) -> pd.DataFrame:
    """Images of 28 to 60 px, higher than wide or wider than high; columns id_code, diagnosis, both text."""
    rows = []
    for number, drawing in enumerate(take_digits(TEST_COUNTS if test else TRAIN_COUNTS, test)):
        name = name_hex(number + 10_000 * test, 12)
        drawing.save(folder / f"{name}.png", height_px=28 + number % 5 * 6, width_px=28 + number % 7 * 5)
        rows.append((name, str(drawing.digit)))
    return pd.DataFrame(rows, columns=["id_code", "diagnosis"])
