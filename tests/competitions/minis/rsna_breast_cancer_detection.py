"""rsna-breast-cancer-detection: mammograms as DICOM, two or three of each breast; one answer for a breast.

Of the files some have 12 bits and others 16, every third is MONOCHROME1 (bright is 0), and every fourth JPEG 2000, which
pydicom writes with pylibjpeg-openjpeg; the others are not compressed (nothing here writes lossless JPEG).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.competitions.dicoms import write_dicom
from tests.competitions.drawing import Drawing, take_digits

BAR = 0.8
SETS = ()

HEALTHY, ILL = 1, 0
IN_TRAIN_ALONE = ["cancer", "biopsy", "invasive", "BIRADS", "density", "difficult_negative_case"]
BREASTS, TEST_BREASTS, SHARE = 44, 16, 0.25
"""Breasts of the training set, of the test set, and how many of them are ill."""


def write(data: Path) -> pd.DataFrame:
    train = describe(BREASTS, first_patient=10006)
    test = describe(TEST_BREASTS, first_patient=60001)
    draw(train, data / "train_images", test=False)
    draw(test, data / "test_images", test=True)
    train.to_csv(data / "train.csv", index=False)
    asked = test.drop(columns=IN_TRAIN_ALONE).assign(prediction_id=name_predictions(test))
    asked.to_csv(data / "test.csv", index=False)
    answers = test.assign(prediction_id=asked["prediction_id"])[["prediction_id", "cancer"]].drop_duplicates("prediction_id")
    answers = answers.reset_index(drop=True)
    answers.assign(cancer=train["cancer"].mean()).to_csv(data / "sample_submission.csv", index=False)
    return answers.astype(str)


def name_predictions(table: pd.DataFrame) -> pd.Series:
    return table["patient_id"].astype(str) + "_" + table["laterality"]


def describe(breasts: int, first_patient: int) -> pd.DataFrame:
    """A row for each image: two breasts of a patient, each seen from above and from the side, some twice."""
    rows, order = [], np.random.default_rng(breasts).permutation(breasts)
    for number in range(breasts):
        patient, side, cancer = first_patient + 37 * (number // 2), "LR"[number % 2], int(order[number] < SHARE * breasts)
        for view in ("CC", "MLO", *(["MLO"] if number % 5 == 0 else [])):
            rows.append({
                "site_id": 1 + patient % 2,
                "patient_id": patient,
                "image_id": 462822612 + 7919 * (first_patient + len(rows)),
                "laterality": side,
                "view": view,
                "age": "" if number // 2 % 7 == 3 else 40 + patient % 37,
                "cancer": cancer,
                "biopsy": cancer,
                "invasive": cancer * (number % 8 == 0),
                "BIRADS": 0 if cancer else ["", 1, 2][number % 3],
                "implant": int(number // 2 % 9 == 4),
                "density": ["", "A", "B", "C", "D"][number // 2 % 5],
                "machine_id": [49, 48, 29][patient % 3],
                "difficult_negative_case": not cancer and number % 6 == 1,
            })  # fmt: skip
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, folder: Path, test: bool) -> None:
    ill = int(table["cancer"].sum())
    drawings = take_digits([ill, len(table) - ill], test)
    shown = {digit: iter([each for each in drawings if each.digit == digit]) for digit in (ILL, HEALTHY)}
    for number, (_, row) in enumerate(table.iterrows()):
        drawing = next(shown[ILL if row["cancer"] else HEALTHY])
        path = folder / str(row["patient_id"]) / f"{row['image_id']}.dcm"
        write_dicom(path, shade(drawing), bits=(12, 16)[number % 2], inverted=number % 3 == 0, jpeg2000=number % 4 == 1)


def shade(drawing: Drawing) -> np.ndarray:
    """(40, 32) in 0 to 0.9: tissue is never as bright as the sensor can be."""
    return cv2.resize(drawing.ink, (32, 40), interpolation=cv2.INTER_LINEAR) * 0.9
