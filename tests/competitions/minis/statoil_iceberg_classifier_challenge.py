"""statoil-iceberg-classifier-challenge: radar pictures as lists of decibels in a JSON table, all three tables inside 7z archives.

As in the original archives, the tables lie in a folder of their own inside them. Bands are (24, 24) where the competition has
(75, 75).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import py7zr

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.85
SETS = ("model={use: fusion, backbone: {use: cnn, widths: [16, 32], hidden: 64, dropout: 0.2}, hidden: 8}",)

SHIP, ICEBERG = 1, 0
SIDE = 24


def write(data: Path) -> pd.DataFrame:
    data.mkdir(parents=True)
    train, test = take_digits([50, 56]), take_digits([12, 13], test=True)
    known = [describe(number, drawing) | {"is_iceberg": mark(drawing)} for number, drawing in enumerate(train)]
    asked = [describe(number, drawing) for number, drawing in enumerate(test, len(train))]
    for row in known[::9]:
        row["inc_angle"] = "na"
    pack(data / "train.json.7z", "data/processed/train.json", json.dumps(known))
    pack(data / "test.json.7z", "data/processed/test.json", json.dumps(asked))
    ids = [row["id"] for row in asked]
    sample = pd.DataFrame({"id": ids, "is_iceberg": 0.5}).to_csv(index=False)
    pack(data / "sample_submission.csv.7z", "data/processed/sample_submission.csv", sample)
    return pd.DataFrame({"id": ids, "is_iceberg": [str(mark(drawing)) for drawing in test]})


def mark(drawing: Drawing) -> int:
    return int(drawing.digit == ICEBERG)


def describe(number: int, drawing: Drawing) -> dict[str, Any]:
    """Two bands in dB: sea at -25 with speckle, what swims in it brighter, and less so in the second polarisation."""
    speckle = np.random.default_rng(number).normal(0, 1.5, (2, SIDE, SIDE))
    ink = cv2.resize(drawing.ink, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    bands = np.stack([-25 + 30 * ink, -30 + 16 * ink]) + speckle
    return {
        "id": name_hex(number, 8),
        "band_1": bands[0].ravel().round(6).tolist(),
        "band_2": bands[1].ravel().round(6).tolist(),
        "inc_angle": round(30 + number * 0.61 % 15, 4),
    }


def pack(archive: Path, member: str, text: str) -> None:
    with py7zr.SevenZipFile(archive, "w") as file:
        file.writef(io.BytesIO(text.encode()), member)
