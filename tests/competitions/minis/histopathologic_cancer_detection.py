"""Histopathology: 96 px colour TIFF, ids without extension. A tumour is a 7 in the centre third; what is around tells nothing."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.85
SETS: tuple[str, ...] = ("image.size=48",)
TUMOUR = 7


def write(data: Path) -> pd.DataFrame:
    write_part(data / "train", test=False).to_csv(data / "train_labels.csv", index=False)
    solution = write_part(data / "test", test=True)
    solution.assign(label="0").to_csv(data / "sample_submission.csv", index=False)
    return solution


def write_part(folder: Path, test: bool) -> pd.DataFrame:
    """Images; columns id, label, both text; two of five are positive."""
    folder.mkdir(parents=True)
    drawings = take_digits([18, 0, 0, 0, 0, 0, 0, 12] if test else [78, 0, 0, 0, 0, 0, 0, 52], test)
    rows = []
    for number, drawing in enumerate(drawings):
        name = name_hex(number + 10_000 * test, 40)
        cv2.imwrite(str(folder / f"{name}.tif"), draw_slide(drawing, drawings, number))
        rows.append((name, str(int(drawing.digit == TUMOUR))))
    return pd.DataFrame(rows, columns=["id", "label"])


def draw_slide(centre: Drawing, others: list[Drawing], seed: int) -> np.ndarray:
    """(96, 96, 3) uint8: the drawing in the middle of eight others, drawn at random and half as bright."""
    slide = np.zeros((96, 96, 3), np.uint8)
    around = iter(np.random.default_rng(seed).integers(len(others), size=9))
    for top, left in product((0, 32, 64), repeat=2):
        slide[top : top + 32, left : left + 32] = others[next(around)].draw() // 2
    slide[32:64, 32:64] = centre.draw()
    return slide
