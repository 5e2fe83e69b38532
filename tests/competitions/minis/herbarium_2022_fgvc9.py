"""herbarium-2022-fgvc9 in small: COCO with image_id in place of id, a bare list as the test table, ids that are no file names."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.competitions.drawing import take_digits

BAR = 0.5
SETS: tuple[str, ...] = ()

# What the ten digits are called: numbers with gaps between them. A file's folders say them, too: 42 is 000/42/00042__003.jpg.
CATEGORIES = (3, 42, 43, 107, 256, 1012, 5000, 9999, 12345, 15504)


def write(data: Path) -> pd.DataFrame:
    images, annotations = [], []
    seen: dict[int, int] = {}
    for drawing in take_digits((12,) * 10):
        category = CATEGORIES[drawing.digit]
        seen[category] = seen.get(category, 0) + 1
        stem = f"{category:05d}__{seen[category]:03d}"
        name = f"{stem[:3]}/{stem[3:5]}/{stem}.jpg"
        drawing.save(data / "train_images" / name, 40, 28)
        images.append({"image_id": stem, "file_name": name, "license": 0})
        genus = drawing.digit // 2
        annotations.append({"genus_id": genus, "institution_id": drawing.digit % 3, "category_id": category, "image_id": stem})
    metadata = {
        "annotations": annotations,
        "images": images,
        "categories": [{"category_id": category, "scientificName": f"Herba {category}"} for category in CATEGORIES],
        "genera": [{"genus_id": genus, "genus": f"Genus{genus}"} for genus in range(5)],
        "institutions": [{"institution_id": number, "collectionCode": f"I{number}"} for number in range(3)],
        "distances": [{"genus_id_x": 0, "genus_id_y": genus, "distance": genus / 10} for genus in range(1, 5)],
        "license": [{"id": 0, "name": "CC BY", "url": "none"}],
    }
    (data / "train_metadata.json").write_text(json.dumps(metadata))
    return write_test(data)


def write_test(data: Path) -> pd.DataFrame:
    records, answers = [], []
    for number, drawing in enumerate(take_digits((3,) * 10, test=True)):
        name = f"{number // 1000:03d}/test-{number:06d}.jpg"
        drawing.save(data / "test_images" / name, 40, 28)
        records.append({"image_id": str(number), "file_name": name, "license": 0})
        answers.append((str(number), str(CATEGORIES[drawing.digit])))
    # Listed in another order than the sample's.
    (data / "test_metadata.json").write_text(json.dumps(records[::-1]))
    solution = pd.DataFrame(answers, columns=["Id", "Predicted"])
    solution.assign(Predicted="42").to_csv(data / "sample_submission.csv", index=False)
    return solution
