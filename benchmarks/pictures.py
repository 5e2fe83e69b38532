"""Pictures to measure on: a competition's folder that is given, or the embedded digits enlarged to colour JPEGs."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

TRAIN_ROWS = 1347
SIDE_PX = 227


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    wanted = "a folder with train.csv (image_id, file, label), test.csv and their images; else made from digits"
    parser.add_argument("--data", type=Path, help=wanted)
    return parser.parse_args()


def make_pictures(folder: Path) -> Path:
    """Write the digits as 227 px colour JPEGs with train.csv, test.csv and sample_submission.csv. Returns the folder."""
    images, labels = load_digits(return_X_y=True)
    rows = []
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        part = "train" if number < TRAIN_ROWS else "test"
        file = f"{part}_images/{part}_{number:05d}.jpg"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        grey = cv2.resize((pixels.reshape(8, 8) * 15.9).astype(np.uint8), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / file), cv2.applyColorMap(grey, cv2.COLORMAP_OCEAN))
        rows.append({"image_id": f"{part}_{number:05d}", "file": file, "label": str(label)})
    table = pd.DataFrame(rows)
    table[:TRAIN_ROWS].to_csv(folder / "train.csv", index=False)
    table[TRAIN_ROWS:].drop(columns="label").to_csv(folder / "test.csv", index=False)
    table[TRAIN_ROWS:][["image_id"]].assign(label="0").to_csv(folder / "sample_submission.csv", index=False)
    return folder
