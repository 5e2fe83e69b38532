"""siim-isic-melanoma-classification: every picture three times (jpeg, DICOM, tfrecord); several a patient; columns that leak."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.dicoms import write_dicom
from tests.competitions.drawing import Drawing, take_digits

BAR = 0.85
SETS = ("model={use: fusion, backbone: {use: cnn, widths: [16, 32], hidden: 64, dropout: 0.2}, hidden: 8}",)

BENIGN, MELANOMA = 1, 0
SITES = ("torso", "lower extremity", "upper extremity", "head/neck", "", "palms/soles", "oral/genital")
IN_TRAIN_ALONE = ["diagnosis", "benign_malignant", "target"]


def write(data: Path) -> pd.DataFrame:
    train, test = take_digits([18, 90]), take_digits([10, 20], test=True)
    known, asked = describe(train, 2637011), describe(test, 52060)
    for part, drawings, table in (("train", train, known), ("test", test, asked)):
        for number, (name, drawing) in enumerate(zip(table["image_name"], drawings, strict=True)):
            size = 32 + number % 7, 36 + number % 5
            drawing.save(data / "jpeg" / part / f"{name}.jpg", *size)
            write_dicom(data / part / f"{name}.dcm", drawing.draw(*size))
        write_records(data / "tfrecords" / f"{part}00-{len(drawings)}.tfrec")
    known.to_csv(data / "train.csv", index=False)
    asked.drop(columns=IN_TRAIN_ALONE).to_csv(data / "test.csv", index=False)
    asked[["image_name"]].assign(target=0).to_csv(data / "sample_submission.csv", index=False)
    return asked[["image_name", "target"]].astype(str)


def describe(drawings: list[Drawing], first: int) -> pd.DataFrame:
    """A row for each picture: four or so of a patient, whose sex and age are not always known."""
    rows = []
    for number, drawing in enumerate(drawings):
        patient, ill = number // 4, int(drawing.digit == MELANOMA)
        rows.append({
            "image_name": f"ISIC_{first + 131 * number:07d}",
            "patient_id": f"IP_{first % 90000 + 1571 * patient:07d}",
            "sex": ("male", "female", "female", "male", "")[patient % 5],
            "age_approx": ("", 45.0, 50.0, 35.0, 70.0, 55.0)[patient % 6],
            "anatom_site_general_challenge": SITES[number % len(SITES)],
            "diagnosis": "melanoma" if ill else ("unknown", "nevus")[number % 2],
            "benign_malignant": "malignant" if ill else "benign",
            "target": ill,
        })  # fmt: skip
    return pd.DataFrame(rows)


def write_records(path: Path) -> None:
    """Not what a tfrecord holds, only where it lies: nothing should look into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00" * 64)
