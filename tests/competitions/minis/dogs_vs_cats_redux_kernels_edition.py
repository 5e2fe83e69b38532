"""Dogs and cats: the class is in the file name, ids are numbers, archives beside folders of the same. A dog is a 7, a cat a 0."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from tests.competitions.drawing import Drawing, take_digits

BAR = 0.9
SETS: tuple[str, ...] = ()
DOG, CAT = 7, 0


def write(data: Path) -> pd.DataFrame:
    data.mkdir(parents=True)
    dogs, cats = (take_digits([50 * (digit == animal) for digit in range(10)]) for animal in (DOG, CAT))
    write_images(data / "train", {f"{name}.{number}.jpg": drawing for name, part in (("dog", dogs), ("cat", cats))
                                  for number, drawing in enumerate(part)})  # fmt: skip
    tests = take_digits([12, 0, 0, 0, 0, 0, 0, 13], test=True)
    write_images(data / "test", {f"{number}.jpg": drawing for number, drawing in enumerate(tests, start=1)})
    ids = [str(number) for number in range(1, len(tests) + 1)]
    pd.DataFrame({"id": ids, "label": "0.5"}).to_csv(data / "sample_submission.csv", index=False)
    return pd.DataFrame({"id": ids, "label": [str(int(drawing.digit == DOG)) for drawing in tests]})


def write_images(folder: Path, drawings: dict[str, Drawing]) -> None:
    """File name -> drawing, in the folder and in the archive beside it, there at the root."""
    with ZipFile(folder.with_suffix(".zip"), "w") as members:
        for name, drawing in drawings.items():
            drawing.save(folder / name, height_px=30 + drawing.digit, width_px=36)
            members.write(folder / name, name)
