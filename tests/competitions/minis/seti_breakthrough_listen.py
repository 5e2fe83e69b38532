"""seti-breakthrough-listen: six spectrograms of half floats in an .npy, nested by the first character of the id.

The telescope looks at the target in planes 0, 2 and 4, elsewhere in the others: those show noise and a digit that says nothing.
Planes are (36, 32) where the competition has (273, 256).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.85
SETS = ()

HEIGHT, WIDTH = 36, 32
ON_TARGET = (0, 2, 4)
NEEDLE, ORDINARY = 0, 1


def write(data: Path) -> pd.DataFrame:
    train, test = take_digits([30, 60]), take_digits([9, 18], test=True)
    ids = [name_hex(number, 12) for number in range(len(train) + len(test))]
    known = pd.DataFrame({"id": ids[: len(train)], "target": [int(each.digit == NEEDLE) for each in train]})
    asked = pd.DataFrame({"id": ids[len(train) :]})
    elsewhere = take_digits([0, 0, 60, 60])
    for number, (name, drawing) in enumerate(zip(ids, [*train, *test], strict=True)):
        part = data / ("train" if number < len(train) else "test")
        save(part / name[0] / f"{name}.npy", observe(drawing, elsewhere[number % len(elsewhere)], number))
    known.to_csv(data / "train_labels.csv", index=False)
    asked.assign(target=0.5).to_csv(data / "sample_submission.csv", index=False)
    write_old(data / "old_leaky_data", known, train)
    return asked.assign(target=[str(int(each.digit == NEEDLE)) for each in test])


def observe(drawing: Drawing, other: Drawing, seed: int) -> np.ndarray:
    """(6, HEIGHT, WIDTH) float16 of about mean 0 and spread 1."""
    values = np.random.default_rng(seed).normal(0, 0.5, (6, HEIGHT, WIDTH))
    for plane in range(6):
        ink = (drawing if plane in ON_TARGET else other).ink
        values[plane] += cv2.resize(ink, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) * 3 - 1
    return values.astype(np.float16)


def write_old(folder: Path, known: pd.DataFrame, drawings: list[Drawing]) -> None:
    """What the competition handed out first: the same ids, other labels, other pictures."""
    folder.mkdir()
    known.assign(target=1 - known["target"]).to_csv(folder / "train_labels_old.csv", index=False)
    for name, drawing in zip(known["id"][:12], drawings[::-1], strict=False):
        save(folder / "train_old" / name[0] / f"{name}.npy", observe(drawing, drawing, 0))


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
