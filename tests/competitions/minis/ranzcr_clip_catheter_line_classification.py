"""ranzcr-clip: eleven labels of chest X-rays in train, nine of them in the sample; ids full of dots; patients with several."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.8
SETS = ()

LABELS = (
    "ETT - Abnormal,ETT - Borderline,ETT - Normal,NGT - Abnormal,NGT - Borderline,NGT - Incompletely Imaged,NGT - Normal,"
    "CVC - Abnormal,CVC - Borderline,CVC - Normal,Swan Ganz Catheter Present"
).split(",")
UNSCORED = ("CVC - Normal", "Swan Ganz Catheter Present")
SCORED = [label for label in LABELS if label not in UNSCORED]
SHOWN = {
    0: ("ETT - Normal", "CVC - Abnormal"),
    1: ("ETT - Abnormal", "NGT - Normal", "CVC - Normal"),
    2: ("ETT - Borderline", "NGT - Borderline"),
    4: ("NGT - Incompletely Imaged", "CVC - Borderline", "Swan Ganz Catheter Present"),
    6: ("NGT - Abnormal", "CVC - Normal"),
    7: ("ETT - Normal", "NGT - Normal", "CVC - Borderline"),
}
UID = "1.2.826.0.1.3680043.8.498."


def write(data: Path) -> pd.DataFrame:
    counts = [22 if digit in SHOWN else 0 for digit in range(10)]
    train, test = take_digits(counts), take_digits([count // 5 for count in counts], test=True)
    uids = [UID + str(int(name_hex(number, 45), 16))[:38] for number in range(len(train) + len(test))]
    for part, drawings, names in (("train", train, uids), ("test", test, uids[len(train) :])):
        for name, drawing in zip(names, drawings, strict=False):
            drawing.save(data / part / f"{name}.jpg", 34, 32, grey=True)
    table = pd.DataFrame({"StudyInstanceUID": uids[: len(train)], **mark_labels(train)})
    table["PatientID"] = [name_hex(1000 + number // 3, 9) for number in range(len(train))]
    table.to_csv(data / "train.csv", index=False)
    write_annotations(data / "train_annotations.csv", table)
    asked = pd.DataFrame({"StudyInstanceUID": uids[len(train) :]})
    asked.assign(**dict.fromkeys(SCORED, 0)).to_csv(data / "sample_submission.csv", index=False)
    answers = mark_labels(test)
    return asked.assign(**{label: list(map(str, answers[label])) for label in SCORED})


def mark_labels(drawings: list[Drawing]) -> dict[str, list[int]]:
    return {label: [int(label in SHOWN[drawing.digit]) for drawing in drawings] for label in LABELS}


def write_annotations(file: Path, table: pd.DataFrame) -> None:
    """Where a line runs: a row for each line of some studies, its points as text."""
    rows = [
        {"StudyInstanceUID": row["StudyInstanceUID"], "label": label, "data": "[[12, 3], [14, 9], [15, 22]]"}
        for _, row in table[:40].iterrows()
        for label in LABELS
        if row[label]
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
