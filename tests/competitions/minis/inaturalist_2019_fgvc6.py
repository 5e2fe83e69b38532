"""inaturalist-2019-fgvc6 in small: plain tars called .tar.gz, whose members lack the folder that file_name begins with."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.5
SETS: tuple[str, ...] = ()

CATEGORIES = (0, 7, 101, 202, 303, 400, 500, 654, 808, 1009)
GROUPS = ("Amphibians", "Birds", "Fungi", "Insects", "Plants", "Reptiles", "Amphibians", "Birds", "Fungi", "Insects")


def write(data: Path) -> pd.DataFrame:
    data.mkdir(parents=True)
    members, images, annotations = {}, [], []
    for number, drawing in enumerate(take_digits((12,) * 10)):
        inside = f"{GROUPS[drawing.digit]}/{CATEGORIES[drawing.digit]}/{name_hex(number)}.jpg"
        members[inside] = drawing.encode(".jpg", 32, 36)
        images.append(describe(900 + number, f"train_val2019/{inside}"))
        annotations.append({"id": 900 + number, "image_id": 900 + number, "category_id": CATEGORIES[drawing.digit]})
    write_tar(data / "train_val2019.tar.gz", members)
    write_coco(data / "train2019.json", images, annotations)
    # The images of the validation part were not handed out.
    missing = [describe(5000 + number, f"train_val2019/Birds/7/{name_hex(5000 + number)}.jpg") for number in range(6)]
    notes = [{"id": 5000 + number, "image_id": 5000 + number, "category_id": 7} for number in range(6)]
    write_coco(data / "val2019.json", missing, notes)
    return write_test(data)


def write_test(data: Path) -> pd.DataFrame:
    members, images, answers = {}, [], []
    for number, drawing in enumerate(take_digits((3,) * 10, test=True)):
        name = f"{name_hex(2000 + number)}.jpg"
        members[name] = drawing.encode(".jpg", 32, 36)
        images.append(describe(268243 + number, f"test2019/{name}"))
        answers.append((str(268243 + number), str(CATEGORIES[drawing.digit])))
    write_tar(data / "test2019.tar.gz", members)
    write_coco(data / "test2019.json", images, None)
    solution = pd.DataFrame(answers, columns=["id", "predicted"])
    solution.assign(predicted="654").to_csv(data / "kaggle_sample_submission.csv", index=False)
    return solution


def describe(number: int, file_name: str) -> dict[str, Any]:
    return {"license": 3, "file_name": file_name, "rights_holder": "Ann Other", "height": 32, "width": 36, "id": number}


def write_coco(path: Path, images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]] | None) -> None:
    species = zip(CATEGORIES, GROUPS, strict=True)
    categories = [{"id": number, "name": f"species {number}", "supercategory": group} for number, group in species]
    known = {} if annotations is None else {"categories": categories, "annotations": annotations}
    path.write_text(json.dumps({"info": {"year": 2019}, "licenses": [{"id": 3, "name": "CC BY-NC"}], "images": images, **known}))


def write_tar(path: Path, members: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
