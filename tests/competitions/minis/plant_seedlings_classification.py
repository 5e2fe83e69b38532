"""Seedlings: no table, a folder per species, with spaces and hyphens in its name; PNG files of many sizes; ids with .png.

The species is the digit; the last two are a 0 and a 1 on light paper.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.5
SETS: tuple[str, ...] = ()
SPECIES = (
    "Black-grass",
    "Charlock",
    "Cleavers",
    "Common Chickweed",
    "Common wheat",
    "Fat Hen",
    "Loose Silky-bent",
    "Maize",
    "Scentless Mayweed",
    "Shepherds Purse",
    "Small-flowered Cranesbill",
    "Sugar beet",
)


def write(data: Path) -> pd.DataFrame:
    for number, (species, drawing) in enumerate(take_species(12, test=False)):
        drawing.save(data / "train" / species / f"{name_hex(number, 9)}.png", *choose_size(number))
    rows = []
    for number, (species, drawing) in enumerate(take_species(3, test=True)):
        name = f"{name_hex(number + 10_000, 9)}.png"
        drawing.save(data / "test" / name, *choose_size(number + 1))
        rows.append((name, species))
    solution = pd.DataFrame(rows, columns=["file", "species"])
    solution.assign(species="Sugar beet").to_csv(data / "sample_submission.csv", index=False)
    return solution


def take_species(count: int, test: bool) -> list[tuple[str, Drawing]]:
    """So many drawings of each species."""
    seen: dict[int, int] = {}
    found = []
    for drawing in take_digits([2 * count, 2 * count] + [count] * 8, test):
        seen[drawing.digit] = seen.get(drawing.digit, 0) + 1
        if seen[drawing.digit] <= count:
            found.append((SPECIES[drawing.digit], drawing))
        else:
            found.append((SPECIES[10 + drawing.digit], replace(drawing, ink=1 - drawing.ink)))
    return found


def choose_size(number: int) -> tuple[int, int]:
    """(height, width), 16 to 256 px: some tiny, some sixteen times as large."""
    side = (16, 24, 32, 48, 64, 96, 256)[number % 7]
    return side, side + number % 3
