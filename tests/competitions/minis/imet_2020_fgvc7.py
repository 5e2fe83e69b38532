"""imet-2020-fgvc7 in small: a set of attributes for each image, of which some are known by labels.csv and the sample alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.35
SETS: tuple[str, ...] = ("train.epochs=25",)

ATTRIBUTES = (
    "country::egypt", "country::japan", "culture::french", "culture::etruscan", "dimension::large", "dimension::small",
    "medium::silk", "medium::clay", "medium::glass", "tags::birds", "tags::flowers", "tags::horses", "tags::men", "tags::women",
)  # fmt: skip
# Of each digit. Nothing has 1, which the sample names, nor 9 or 13.
SETS_OF_DIGITS = ("0", "2 4", "2 5 6", "5 6", "3 4 7", "3 7", "8", "4 8 10", "0 10 11", "11 12")


def write(data: Path) -> pd.DataFrame:
    table = write_part(data, "train", 15, test=False)
    table.to_csv(data / "train.csv", index=False)
    names = pd.DataFrame({"attribute_id": range(len(ATTRIBUTES)), "attribute_name": ATTRIBUTES})
    names.to_csv(data / "labels.csv", index=False)
    solution = write_part(data, "test", 3, test=True)
    solution.assign(attribute_ids="0 1 2").to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(data: Path, part: str, count: int, test: bool) -> pd.DataFrame:
    rows = []
    for number, drawing in enumerate(take_digits((count,) * 10, test)):
        name = name_hex(1000 * test + number)
        drawing.save(data / part / f"{name}.png", 36, 28)
        rows.append((name, SETS_OF_DIGITS[drawing.digit]))
    return pd.DataFrame(rows, columns=["id", "attribute_ids"]).sort_values("id", ignore_index=True)
