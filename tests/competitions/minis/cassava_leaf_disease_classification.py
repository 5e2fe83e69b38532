"""Cassava: JPEG files wider than high, named by a number; the same as tfrecords, which nobody reads. The disease is the digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.competitions.drawing import take_digits

BAR = 0.72
SETS: tuple[str, ...] = ()
TRAIN_COUNTS = (9, 14, 15, 85, 17)
TEST_COUNTS = (3, 4, 4, 23, 4)
DISEASES = {
    "0": "Cassava Bacterial Blight (CBB)",
    "1": "Cassava Brown Streak Disease (CBSD)",
    "2": "Cassava Green Mottle (CGM)",
    "3": "Cassava Mosaic Disease (CMD)",
    "4": "Healthy",
}


def write(data: Path) -> pd.DataFrame:
    write_part(data, "train", TRAIN_COUNTS).to_csv(data / "train.csv", index=False)
    solution = write_part(data, "test", TEST_COUNTS)
    solution.assign(label="4").to_csv(data / "sample_submission.csv", index=False)
    (data / "label_num_to_disease_map.json").write_text(json.dumps(DISEASES))
    return solution


def write_part(data: Path, part: str, counts: tuple[int, ...]) -> pd.DataFrame:
    """Images of 30 by 40 px and a file of records beside them; columns image_id, label, both text."""
    drawings = take_digits(counts, part == "test")
    numbers = np.random.default_rng(len(drawings)).choice(500_000, len(drawings), replace=False) * 7919 + len(part)
    rows = []
    for number, drawing in zip(numbers, drawings, strict=True):
        drawing.save(data / f"{part}_images" / f"{number}.jpg", height_px=30, width_px=40)
        rows.append((f"{number}.jpg", str(drawing.digit)))
    records = data / f"{part}_tfrecords"
    records.mkdir()
    (records / f"ld_{part}00-{len(rows)}.tfrec").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00records")
    return pd.DataFrame(rows, columns=["image_id", "label"])
