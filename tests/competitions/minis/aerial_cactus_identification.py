"""Aerial cactus: 32 px colour JPEG inside train.zip and test.zip, at the archives' root; ids with .jpg. A cactus is a seven."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.9
SETS: tuple[str, ...] = ()
CACTUS = 7


def write(data: Path) -> pd.DataFrame:
    data.mkdir(parents=True)
    train = write_part(data / "train.zip", test=False)
    train.to_csv(data / "train.csv", index=False)
    solution = write_part(data / "test.zip", test=True)
    solution.assign(has_cactus="0.5").to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(archive: Path, test: bool) -> pd.DataFrame:
    """An archive of images; columns id, has_cactus, both text; three of four are positive."""
    drawings = take_digits([2, 2, 2, 0, 2, 0, 0, 24] if test else [7, 7, 6, 0, 6, 0, 0, 78], test)
    rows = []
    with ZipFile(archive, "w") as members:
        for number, drawing in enumerate(drawings):
            name = name_hex(number + 10_000 * test) + ".jpg"
            members.writestr(name, drawing.encode(".jpg"))
            rows.append((name, str(int(drawing.digit == CACTUS))))
    return pd.DataFrame(sorted(rows), columns=["id", "has_cactus"])
