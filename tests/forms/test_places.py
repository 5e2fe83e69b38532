"""Whole runs on images in zips, arrays of many channels, and bands in JSON; and predictions of later test sets in these forms."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import cv2
import numpy as np

from comp.predictions import read_predictions

if TYPE_CHECKING:
    from tests.forms.conftest import Miniature


def as_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.rint(image * 15.9).astype(np.uint8))[1].tobytes()


def test_images_in_zips(mini: Miniature) -> None:
    for name, digits in (("train", mini.train), ("test", mini.test)):
        with zipfile.ZipFile(mini.data / f"{name}.zip", "w") as archive:
            for one, image, _ in digits:
                archive.writestr(f"{name}/{one}.png", as_png(image))
    mini.write("images: train.zip, test_images: test.zip")
    result = mini.run()
    assert result.complete and result.scores["coverage"] == {"scored": 36, "units": 36}
    stored = read_predictions(result.folder / "test.parquet")
    frame = mini.predict(mini.data / "test.zip")
    assert frame["id"].tolist() == [f"test/{name}" for name in sorted(mini.test.names)]
    best = dict(zip(stored.ids, stored.values.argmax(axis=1).astype(str), strict=True))
    assert frame["label"].tolist() == [best[name.removeprefix("test/")] for name in frame["id"]]
    assert not [path for path in mini.data.rglob("*") if path.suffix == ".png"]


def test_arrays_of_six_channels(mini: Miniature) -> None:
    for name, digits in (("train", mini.train), ("test", mini.test)):
        for one, image, _ in digits:
            place = mini.data / name / one[:2]
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"{one}.npy", np.stack([image / 16 * share for share in (1, -1, 0.5, 2, 3, 0.1)]).astype(np.float16))
    mini.write("images: train, test_images: test")
    result = mini.run()
    state = json.loads((result.folder / "environment.json").read_text())
    assert state["form"]["channels"] == 6 and len(state["form"]["facts"]["limits"][0]) == 6
    stored = read_predictions(result.folder / "test.parquet")
    (mini.data / "train").rename(mini.data / "gone")
    frame = mini.predict(mini.data / "test")
    answers = dict(zip(frame["id"].str.rpartition("/")[2], frame["label"], strict=True))
    assert answers == dict(zip(stored.ids, stored.values.argmax(axis=1).astype(str), strict=True))


def test_bands_in_json(mini: Miniature) -> None:
    for name, digits in (("train", mini.train), ("test", mini.test)):
        records = [
            {
                "id": one,
                "band_1": (image - 30).ravel().tolist(),
                "band_2": (5 - image).ravel().tolist(),
                "angle": "na",
                "label": label,
            }
            for one, image, label in digits
        ]
        (mini.data / f"{name}.json").write_text(json.dumps(records))
    mini.write("train: train.json, test: test.json, bands: [band_1, band_2]")
    result = mini.run()
    assert json.loads((result.folder / "environment.json").read_text())["form"]["channels"] == 2
    stored = read_predictions(result.folder / "test.parquet")
    frame = mini.predict(mini.data / "test.json")
    assert frame["id"].tolist() == list(stored.ids)
    assert frame["label"].tolist() == stored.values.argmax(axis=1).astype(str).tolist()
