"""Pictures to measure on: a competition's folder that is given, or the embedded digits enlarged to colour JPEGs.

Photographs are made of them: as large as a camera's, some of them turned by EXIF only.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

TRAIN_ROWS = 1347
SIDE_PX = 227
PHOTOGRAPH_PX = (1500, 4000)
QUALITY = 90
TURNED = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_CLOCKWISE}
"""EXIF's orientation -> how the stored pixels lie."""


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    wanted = "a folder with train.csv (image_id, file, label), test.csv and their images; else made from digits"
    parser.add_argument("--data", type=Path, help=wanted)
    return parser.parse_args()


@contextmanager
def open_pictures(data: Path | None) -> Iterator[tuple[Path, Path]]:
    """The pictures' folder: the one given, or one made of digits. And a folder to work in, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="comp-bench-") as temporary:
        folder = Path(temporary)
        yield data.resolve() if data else make_pictures(folder / "pictures"), folder


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


def make_photographs(folder: Path, pictures: Sequence[Path], count: int, grain: float) -> list[str]:
    """Enlarge pictures to 1,500 to 4,000 px of the longer side, JPEG quality 90; every fourth is turned by EXIF.

    Args:
        pictures: any number of them; they are used in turn.
        grain: standard deviation of the noise that is added, of 255, as a sensor's.

    Returns the file names.
    """
    folder.mkdir(parents=True)

    def make(number: int) -> str:
        generator = np.random.default_rng(number)
        image = cv2.imread(str(pictures[number % len(pictures)]))
        share = generator.integers(*PHOTOGRAPH_PX, endpoint=True) / max(image.shape[:2])
        shape = (round(image.shape[1] * generator.uniform(0.7, 1.0) * share), round(image.shape[0] * share))
        image = cv2.resize(image, shape, interpolation=cv2.INTER_CUBIC)
        if grain:
            noise = generator.normal(0, grain, (*image.shape[:2], 1)).astype(np.int16)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        exif = Image.Exif()
        if number % 4 == 0:
            exif[0x0112] = orientation = (3, 6, 8)[number // 4 % 3]
            image = cv2.rotate(image, TURNED[orientation])
        name = f"{number:04}.jpg"
        Image.fromarray(image[:, :, ::-1]).save(folder / name, quality=QUALITY, exif=exif)
        return name

    with ThreadPoolExecutor() as pool:
        return list(pool.map(make, range(count)))
