"""iwildcam-2020-fgvc7 in small: COCO, three broken JPEGs, cameras (locations) that the test set does not share, sparse ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.competitions.drawing import Drawing, name_hex, take_digits

BAR = 0.5
SETS: tuple[str, ...] = ()

CATEGORIES = (0, 2, 10, 24, 96, 115, 227, 372, 570, 674)
TRAIN_LOCATIONS, TEST_LOCATIONS = 7, 3
FRAMES = 3
BROKEN, BROKEN_TEST = (20, 70), (5,)


def write(data: Path) -> pd.DataFrame:
    drawings = take_digits((12,) * 10)
    images = [save(data, "train", number, drawing, number // FRAMES % TRAIN_LOCATIONS) for number, drawing in enumerate(drawings)]
    notes = [
        {"count": 1, "image_id": image["id"], "id": name_id(4000 + number), "category_id": CATEGORIES[drawing.digit]}
        for number, (image, drawing) in enumerate(zip(images, drawings, strict=True))
    ]
    break_files([data / "train" / images[number]["file_name"] for number in BROKEN])
    categories = [{"id": number, "name": f"animal {number}", "count": 12} for number in CATEGORIES]
    known = {"categories": categories, "info": {"year": 2020}}
    text = json.dumps({"annotations": notes, "images": images, **known})
    (data / "iwildcam2020_train_annotations.json").write_text(text)
    return write_test(data, known)


def write_test(data: Path, known: dict[str, Any]) -> pd.DataFrame:
    drawings = take_digits((3,) * 10, test=True)
    places = [300 + number % TEST_LOCATIONS for number in range(len(drawings))]
    images = [save(data, "test", 1000 + place, drawings[place], location) for place, location in enumerate(places)]
    break_files([data / "test" / images[number]["file_name"] for number in BROKEN_TEST])
    (data / "iwildcam2020_test_information.json").write_text(json.dumps({"categories": known["categories"], "images": images}))
    boxes = [{"category": "1", "bbox": [0, 0, 1, 1], "conf": 0.9}]
    detections = [{"detections": boxes, "id": image["id"], "max_detection_conf": 0.9} for image in images]
    found = {"images": detections, "detection_categories": {"1": "animal"}, "info": {"detector": "megadetector"}}
    (data / "iwildcam2020_megadetector_results.json").write_text(json.dumps(found))
    rows = [(image["id"], str(CATEGORIES[drawing.digit])) for image, drawing in zip(images, drawings, strict=True)]
    solution = pd.DataFrame(rows, columns=["Id", "Category"])
    drawn = np.random.default_rng(0).integers(0, 676, len(solution))
    solution.assign(Category=drawn.astype(str)).to_csv(data / "sample_submission.csv", index=False)
    return solution


def save(data: Path, part: str, number: int, drawing: Drawing, location: int) -> dict[str, Any]:
    """A picture and what the table says of it. Three in a row are a burst of one camera."""
    name = name_id(number)
    drawing.save(data / part / f"{name}.jpg", 30, 40)
    return {
        "seq_num_frames": FRAMES,
        "location": location,
        "datetime": f"2013-06-05 05:44:{number % 60:02d}.000",
        "id": name,
        "frame_num": number % FRAMES,
        "seq_id": name_id(9000 + number // FRAMES),
        "width": 40,
        "height": 30,
        "file_name": f"{name}.jpg",
    }


def name_id(number: int) -> str:
    letters = name_hex(number)
    return f"{letters[:8]}-{letters[8:12]}-{letters[12:16]}-{letters[16:20]}-{letters[20:]}"


def break_files(paths: list[Path]) -> None:
    """The first loses its second half, the others everything."""
    for number, path in enumerate(paths):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if number == 0 else b"")
