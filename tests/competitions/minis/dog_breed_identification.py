"""Dog breeds: labels.csv, JPEG files of many sizes, a column of the sample per breed. Ten of the 120; the breed is the digit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.6
SETS: tuple[str, ...] = ()
BREEDS = (
    "affenpinscher",
    "black-and-tan_coonhound",
    "flat-coated_retriever",
    "german_short-haired_pointer",
    "old_english_sheepdog",
    "pug",
    "shih-tzu",
    "soft-coated_wheaten_terrier",
    "west_highland_white_terrier",
    "wire-haired_fox_terrier",
)


def write(data: Path) -> pd.DataFrame:
    write_part(data / "train", test=False).to_csv(data / "labels.csv", index=False)
    answers = write_part(data / "test", test=True)
    solution = answers[["id"]].assign(**{breed: (answers["breed"] == breed).map({True: "1.0", False: "0.0"}) for breed in BREEDS})
    solution.assign(**dict.fromkeys(BREEDS, repr(1 / len(BREEDS)))).to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(folder: Path, test: bool) -> pd.DataFrame:
    """Images of 30 to 50 px; columns id, breed."""
    rows = []
    for number, drawing in enumerate(take_digits([4] * 10 if test else [14] * 10, test)):
        name = name_hex(number + 10_000 * test)
        drawing.save(folder / f"{name}.jpg", height_px=30 + number % 5 * 5, width_px=30 + number % 3 * 10)
        rows.append((name, BREEDS[drawing.digit]))
    return pd.DataFrame(sorted(rows), columns=["id", "breed"])
