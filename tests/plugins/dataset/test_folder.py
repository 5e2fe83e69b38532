from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from comp.api import DataError
from comp.plugins.dataset.folder import folder


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path, format="PNG")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for name in (
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/deep/1.png",
        "valid/dog/9.png",
        "test/cat/7.png",
        "test/dog/8.png",
    ):
        draw(tmp_path / name)
    write(tmp_path / "train" / "cat" / "Thumbs.db", "")
    draw(tmp_path / "train" / "cat" / "._1.png")
    return tmp_path


def test_folder_names_are_labels(classes):
    tables = folder(classes, valid="valid", test="test")
    assert tables.train[["id", "label", "part"]].to_numpy().tolist() == [
        ["train/cat/1.png", "cat", "train"],
        ["train/cat/2.png", "cat", "train"],
        ["train/dog/deep/1.png", "dog", "train"],
        ["valid/dog/9.png", "dog", "valid"],
    ]
    assert tables.test["image"].tolist() == ["test/cat/7.png", "test/dog/8.png"]
    assert list(tables.test.columns) == ["row_id", "id", "image"]


def test_folder_without_parts_around(classes):
    tables = folder(classes / "train", train=".")
    assert tables.train["id"].tolist() == ["cat/1.png", "cat/2.png", "dog/deep/1.png"] and tables.test is None


def test_folder_test_ids_are_those_of_the_sample(classes):
    write(classes / "sample.csv", "file,species\n8.png,cat\n7,cat\n")
    tables = folder(classes, test="test", sample="sample.csv")
    assert dict(zip(tables.test["id"], tables.test["image"])) == {"7": "test/cat/7.png", "8.png": "test/dog/8.png"}
    assert tables.id_column == "file"


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("file,species\n8,a\n7,a\n6,a\n", "1 ids of the sample name no image .*'6'"),
        ("file,species\n8,a\n", "1 test images are not in the sample"),
    ],
)
def test_folder_sample_that_does_not_fit(classes, sample, message):
    write(classes / "sample.csv", sample)
    with pytest.raises(DataError, match=message):
        folder(classes, test="test", sample="sample.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": "trian"}, "there is no folder .*trian"),
        ({"train": "../x"}, "leads out of"),
        ({"train": "train/dog/deep"}, "1 images lie outside any class folder, e.g. 1.png"),
        ({"train": "empty"}, "holds no class folders"),
    ],
)
def test_folder_says_what_is_wrong(classes, arguments, message):
    (classes / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        folder(classes, **arguments)
