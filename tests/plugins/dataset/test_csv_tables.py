"""Dataset csv: tables in other forms than CSV, and the pictures in them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.api import DataError
from comp.plugins.dataset.csv import csv


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("007", "08", "10"):
        (tmp_path / "train_images" / "a" / name[:1]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "train_images" / "a" / name[:1] / f"{name}.jpg")
    return tmp_path


NESTED = ["train_images/a/0/007.jpg", "train_images/a/0/08.jpg", "train_images/a/1/10.jpg"]


def test_tsv_and_parquet_are_read_as_text(data: Path) -> None:
    (data / "train.tsv").write_text("id\tlabel\n007\ta,b\n08\tNA\n10\t\n")
    tables = csv(data, train="train.tsv")
    assert tables.train["label"].tolist() == ["a,b", "NA", ""] and tables.train["image"].tolist() == NESTED
    frame = pd.DataFrame({"id": ["007", "08", "10"], "label": [1, None, 3], "x": [0.5, np.nan, 2.0], "raw": [b"1", b"2", b"3"]})
    frame["label"] = frame["label"].astype("Int64")
    frame.to_parquet(data / "train.parquet")
    tables = csv(data, train="train.parquet", columns=["x"])
    assert tables.train["label"].tolist() == ["1", "", "3"] and tables.train["x"].tolist() == ["0.5", "", "2.0"]
    assert "raw" not in tables.train and tables.columns == ("x",) and tables.files == (data.resolve() / "train.parquet",)


def test_json_records_keep_numbers_as_written(data: Path) -> None:
    (data / "train.json").write_text(
        '[{"id": "007", "label": 1.50, "angle": "na", "tags": ["a", "b"]},\n {"id": "08", "label": 2, "ok": true}, {"id": "10"}]'
    )
    train = csv(data, train="train.json", separator=" ", target="tags").train
    assert train["label"].tolist() == ["1.50", "2", ""] and train["angle"].tolist() == ["na", "", ""]
    assert train["tags"].tolist() == ["a b", "", ""] and train["ok"].tolist() == ["", "1", ""]


def write_iceberg(folder: Path, count: int = 6) -> np.ndarray:
    """Statoil's layout: two bands of decibels in each record."""
    bands = np.random.default_rng(0).normal(-20, 5, (count, 2, 9)).round(3)
    records = [
        {"id": f"i{row}", "inc_angle": 43.92, "is_iceberg": row % 2, "band_1": list(bands[row, 0]), "band_2": list(bands[row, 1])}
        for row in range(count)
    ]
    (folder / "train.json").write_text(json.dumps(records))
    return bands.reshape(count, 2, 3, 3)


def test_bands_of_a_json_table_are_pictures(tmp_path: Path) -> None:
    bands = write_iceberg(tmp_path)
    tables = csv(tmp_path, train="train.json", bands=["band_1", "band_2"], target="is_iceberg")
    assert "band_1" not in tables.train and tables.train["inc_angle"].tolist() == ["43.92"] * 6
    low, high = np.percentile(bands[:, 0], [0.5, 99.5])
    assert [side[0] for side in tables.facts["limits"]] == pytest.approx([low, high], abs=1e-4)
    image = tables.read(tables.train["image"][3])
    assert image.shape == (3, 3, 2) and image.dtype == np.uint8
    wanted = np.clip((bands[3, 0] - low) / (high - low), 0, 1) * 255
    assert np.abs(image[:, :, 0] - wanted).max() <= 0.51
    assert np.array_equal(pickle.loads(pickle.dumps(tables.read))(tables.train["image"][3]), image)
    fixed = csv(tmp_path, train="train.json", bands=["band_2"], target="is_iceberg", range=[-30, -10])
    assert fixed.facts == {} and np.abs(
        fixed.read("train.json/2")[:, :, 0] - np.clip((bands[2, 1] + 30) / 20, 0, 1) * 255
    ).max() <= 0.51  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": "1", "is_iceberg": 0, "band_1": [1, 2]}]', "has no 'band_2', which dataset.bands names"),
        ('[{"id": "1", "band_1": [1, 2], "band_2": [1, 2]}]', r"has \(2,\) pixels a band; wanted a square number"),
        ('[{"id": "1", "band_1": [1], "band_2": ["x"]}]', "are no numbers"),
        ('{"a": []}', "neither a list of records nor COCO: it has the keys 'a'"),
        ('[{"id": 1,}]', "cannot be read as JSON"),
        ("[1]", "record 0 is str; wanted a list of mappings"),
    ],
)
def test_json_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(DataError, match=message):
        csv(tmp_path, train="train.json", bands=["band_1", "band_2"], target="is_iceberg")


def test_coco_joins_annotations_to_images(data: Path) -> None:
    """iNaturalist: ids are numbers, file names begin with a folder that is not there."""
    images = [{"id": row, "file_name": f"train_val2019/a/{name[:1]}/{name}.jpg"} for row, name in enumerate(["10", "007", "08"])]
    notes = [{"id": 90 + row, "image_id": row, "category_id": row % 2} for row in range(3)]
    (data / "train.json").write_text(json.dumps({"images": images, "annotations": notes, "categories": []}))
    train = csv(data, train="train.json", image="file_name", target="category_id").train
    assert train["id"].tolist() == ["0", "1", "2"] and train["category_id"].tolist() == ["0", "1", "0"]
    assert train["image"].tolist() == [NESTED[2], NESTED[0], NESTED[1]]


def test_coco_of_herbarium_names_images_otherwise_and_tests_by_a_bare_list(data: Path) -> None:
    images = [{"image_id": name, "file_name": f"a/{name[:1]}/{name}.jpg"} for name in ("007", "08")]
    notes = [{"image_id": "08", "category_id": 155, "genus_id": 3}, {"image_id": "007", "category_id": 42, "genus_id": 1}]
    (data / "train.json").write_text(json.dumps({"images": images, "annotations": notes}))
    (data / "test.json").write_text(json.dumps([{"image_id": 17, "file_name": "a/1/10.jpg"}]))
    (data / "sample.csv").write_text("Id,Predicted\n17,42\n")
    tables = csv(
        data, train="train.json", test="test.json", sample="sample.csv", id="image_id", image="file_name", target="category_id",
        auxiliary=["genus_id"],
    )  # fmt: skip
    assert tables.train["category_id"].tolist() == ["42", "155"] and tables.auxiliary == ("genus_id",)
    assert tables.test[["id", "image"]].to_numpy().tolist() == [["17", NESTED[2]]] and tables.id_column == "Id"


def test_coco_with_several_annotations_an_image(data: Path) -> None:
    notes = [{"image_id": "007", "category_id": 2}, {"image_id": "007", "category_id": 1}, {"image_id": "08", "category_id": 1}]
    notes += [{"image_id": "007", "category_id": 2}]
    text = json.dumps({"images": [{"id": "007"}, {"id": "08"}], "annotations": notes})
    (data / "train.json").write_text(text)
    with pytest.raises(DataError, match="1 images have several 'category_id', such as '007'.*dataset.separator"):
        csv(data, train="train.json", target="category_id")
    assert csv(data, train="train.json", target="category_id", separator=" ").train["category_id"].tolist() == ["2 1", "1"]
