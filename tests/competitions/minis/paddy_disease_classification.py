"""Paddy: a table of labels, images in a folder per label; portrait; the sample's target is empty. The disease is the digit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import take_digits

BAR = 0.6
SETS: tuple[str, ...] = ()
DISEASES = (
    "bacterial_leaf_blight",
    "bacterial_leaf_streak",
    "bacterial_panicle_blight",
    "blast",
    "brown_spot",
    "dead_heart",
    "downy_mildew",
    "hispa",
    "normal",
    "tungro",
)


def write(data: Path) -> pd.DataFrame:
    rows = []
    for number, drawing in enumerate(take_digits([14] * 10)):
        name, label = f"{100_001 + number * 7}.jpg", DISEASES[drawing.digit]
        drawing.save(data / "train_images" / label / name, height_px=40, width_px=30)
        rows.append((name, label, ("ADT45", "KarnatakaPonni", "Ponni")[number % 3], str(45 + number % 5 * 5)))
    pd.DataFrame(rows, columns=["image_id", "label", "variety", "age"]).sort_values(["label", "image_id"]).to_csv(
        data / "train.csv", index=False
    )
    answers = []
    for number, drawing in enumerate(take_digits([3] * 10, test=True)):
        name = f"{200_001 + number}.jpg"
        drawing.save(data / "test_images" / name, height_px=40, width_px=30)
        answers.append((name, DISEASES[drawing.digit]))
    solution = pd.DataFrame(answers, columns=["image_id", "label"])
    solution.assign(label="").to_csv(data / "sample_submission.csv", index=False)
    return solution
