"""plant-pathology-2020-fgvc7: four classes as four 0/1 columns, one of them rare; Train_N and Test_N in one folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import Drawing, take_digits

BAR = 0.75
SETS = ()

CLASSES = ("healthy", "multiple_diseases", "rust", "scab")
DIGITS = (0, 8, 1, 4)


def write(data: Path) -> pd.DataFrame:
    train = take_digits([34, 41, 0, 0, 39, 0, 0, 0, 6])  # 28, 5, 34 and 33 percent
    test = take_digits([8, 10, 0, 0, 10, 0, 0, 0, 2], test=True)
    tables = {}
    for name, drawings in (("Train", train), ("Test", test)):
        ids = [f"{name}_{number}" for number in range(len(drawings))]
        for image_id, drawing in zip(ids, drawings, strict=True):
            drawing.save(data / "images" / f"{image_id}.jpg", 32, 48)
        tables[name] = pd.DataFrame({"image_id": ids, **mark_classes(drawings)})
    tables["Train"].to_csv(data / "train.csv", index=False)
    asked = tables["Test"][["image_id"]]
    asked.to_csv(data / "test.csv", index=False)
    asked.assign(**dict.fromkeys(CLASSES, 0.25)).to_csv(data / "sample_submission.csv", index=False)
    return tables["Test"].astype(str)


def mark_classes(drawings: list[Drawing]) -> dict[str, list[int]]:
    return {name: [int(drawing.digit == digit) for drawing in drawings] for name, digit in zip(CLASSES, DIGITS, strict=True)}
