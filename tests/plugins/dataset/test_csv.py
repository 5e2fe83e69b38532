"""Dataset csv: tables and folders of image files; its other forms are in test_csv_forms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from comp.api import DataError
from comp.plugins.dataset.csv import csv as csv_plugin


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path, format="PNG")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three training rows whose ids look like numbers, two test rows, images of different extensions."""
    write(tmp_path / "train.csv", "id,label,site\n007,NA,a\n08,None,b\n10,1e3,a\n")
    write(tmp_path / "sample_submission.csv", "id,label\n0001,NA\n0002,NA\n")
    write(tmp_path / "test.csv", "id\n0001\n0002\n")
    for name in ("007", "08", "10"):
        draw(tmp_path / "train_images" / f"{name}.jpg")
    for name in ("0001", "0002"):
        draw(tmp_path / "test_images" / f"{name}.png")
    return tmp_path


def csv(data: Path, **arguments):
    """The dataset with its usual files."""
    usual = {"test": "test.csv", "sample": "sample_submission.csv", "test_images": "test_images"}
    return csv_plugin(data, **{**usual, **arguments})


def test_csv_keeps_text_as_written(data):
    tables = csv(data)
    assert tables.train["id"].tolist() == ["007", "08", "10"]
    assert tables.train["label"].tolist() == ["NA", "None", "1e3"]
    assert tables.train["image"].tolist() == ["train_images/007.jpg", "train_images/08.jpg", "train_images/10.jpg"]
    assert tables.test["image"].tolist() == ["test_images/0001.png", "test_images/0002.png"]
    assert tables.train["site"].tolist() == ["a", "b", "a"]
    assert tables.files == (data.resolve() / "train.csv",) and tables.id_column == "id" and tables.root == data.resolve()


def test_csv_reads_a_byte_order_mark_and_windows_line_ends(data):
    write(data / "train.csv", '\ufeffid,label,site\r\n007,"a,\r\nb",x\r\n08,b,y\r\n10,,z\r\n')
    assert csv(data).train["label"].tolist() == ["a,\r\nb", "b", ""]


@pytest.mark.parametrize(
    ("paths", "column"),
    [
        (["train_images/007.jpg", "./train_images/08.jpg", "train_images/10"], "file"),
        (["007.jpg", "08", "10.jpg"], "file"),
    ],
)
def test_csv_finds_images_by_a_column_of_paths(data, paths, column):
    write(data / "train.csv", "id,label,file\n" + "".join(f"x{i},a,{path}\n" for i, path in enumerate(paths)))
    assert csv(data, image=column).train["image"].tolist() == [f"train_images/{name}.jpg" for name in ("007", "08", "10")]


def test_csv_finds_images_below_the_folder_by_name(data):
    (data / "train_images" / "p1").mkdir()
    (data / "train_images" / "007.jpg").rename(data / "train_images" / "p1" / "007.jpg")
    assert csv(data).train["image"][0] == "train_images/p1/007.jpg"


def test_csv_ids_with_dots_are_no_extensions(data):
    write(data / "train.csv", "id,label\n1.2.8,a\n1.2.9,b\n")
    draw(data / "train_images" / "1.2.8.jpg")
    draw(data / "train_images" / "1.2.9.jpg")
    assert csv(data).train["image"].tolist() == ["train_images/1.2.8.jpg", "train_images/1.2.9.jpg"]


def test_csv_asks_which_of_several_files(data):
    draw(data / "train_images" / "007.png")
    with pytest.raises(DataError, match="1 images fit several files .*'007'; say which: dataset.extension"):
        csv(data)
    draw(data / "train_images" / "08.png")
    draw(data / "train_images" / "10.png")
    assert csv(data, extension="png").train["image"][0] == "train_images/007.png"


def test_csv_keeps_the_expected_path_of_a_missing_image(data):
    (data / "train_images" / "08.jpg").unlink()
    assert csv(data).train["image"].tolist()[1] == "train_images/08.jpg"


def test_csv_says_where_no_image_is(data):
    with pytest.raises(
        DataError, match=r"none of its 3 images is in .*test_images; wanted '007', '08', '10'; there is '0001.png', '0002.png'"
    ):
        csv(data, images="test_images")


def test_csv_rows_of_units(data):
    write(data / "train.csv", "patient,image_id,label\np1,007,0\np1,08,0\np2,10,1\n")
    tables = csv(data, id="patient", row="image_id", test=None, sample=None)
    assert tables.train[["row_id", "id"]].to_numpy().tolist() == [["007", "p1"], ["08", "p1"], ["10", "p2"]]
    assert tables.train["image"][1] == "train_images/08.jpg" and tables.test is None


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("id,label\n007,a\n007,b\n", {}, "1 ids stand twice in 'id': '007'; where several rows make one unit"),
        ("id,label\n007,a\n", {"target": "lable"}, "train.csv has no column 'lable'; it has 'id', 'label'"),
        ("id|label\n007|a\n", {}, "has no column 'id', 'label'; it has 'id|label'"),
        ("id,label\n007,a\n,b\n", {}, "the id is empty in 1 rows, first in data row 2"),
        ("id,label\n007,a,b\n08,b,c\n", {}, "cannot be read as CSV: .*Expected 2 fields in line 2, saw 3"),
        ("id,label,label\n007,a,b\n", {}, "two columns called 'label'"),
        ("", {}, "train.csv cannot be read as CSV"),
        ("id,label\n../secret,a\n", {}, "1 images lead out of .*'../secret'"),
        ("id,label\n/etc/passwd,a\n", {}, "lead out of"),
        ("id,label\n007,a\n", {"train": "../train.csv"}, "dataset.train: '../train.csv' leads out of"),
        ("id,label\n007,a\n", {"images": "/tmp"}, "dataset.images: '/tmp' leads out of"),
        ("id,label\n007,a\n", {"images": "imgs"}, "there is no folder .*imgs"),
        ("id,label\n007,a\n", {"sample": "sampel.csv"}, "there is no table .*sampel.csv"),
        ("id,image\n007,a\n", {"target": "image"}, "a target cannot be called 'image'"),
    ],
)
def test_csv_says_what_is_wrong(data, text, arguments, message):
    write(data / "train.csv", text)
    with pytest.raises(DataError, match=message):
        csv(data, **arguments)


def test_csv_not_utf8(data):
    (data / "train.csv").write_bytes("id,label\n007,é\n".encode("latin-1"))
    with pytest.raises(DataError, match="train.csv is not UTF-8"):
        csv(data)


def test_csv_without_a_test_table_takes_the_samples_ids(data):
    (data / "test.csv").unlink()
    assert csv(data).test["image"].tolist() == ["test_images/0001.png", "test_images/0002.png"]
    pd.testing.assert_frame_equal(csv(data, test=None).test, csv(data).test)
    assert csv_plugin(data).test is None


def test_csv_test_images_among_the_training_images(data):
    """One folder for both; where it lacks the sample's, there is no test set yet."""
    (data / "test.csv").unlink()
    assert csv(data, test_images=None).test is None
    draw(data / "train_images" / "0002.jpg")
    assert csv(data, test_images=None).test["image"].tolist() == ["train_images/0001.jpg", "train_images/0002.jpg"]


def test_csv_absent_empty_and_stub_test_sets(data):
    write(data / "test.csv", "id\n")
    assert len(csv(data).test) == 0
    write(data / "test.csv", "id\n0002\n")
    assert csv(data).test["id"].tolist() == ["0002"]
    for image in (data / "test_images").iterdir():
        image.unlink()
    assert csv(data).test is None
    (data / "test_images").rmdir()
    assert csv(data).test is None


def test_csv_test_answers_are_dropped(data):
    write(data / "test.csv", "id,label\n0001,NA\n0002,NA\n")
    assert "label" not in csv(data).test


def test_csv_folder_is_relative_to_the_workspace(data):
    assert csv_plugin(data.parent, data=data.name).root == data.resolve()
    with pytest.raises(DataError, match="dataset.data: there is no folder"):
        csv_plugin(data, data="elsewhere")


def test_csv_linked_folders_may_go_in_circles(data):
    (data / "train_images" / "loop").symlink_to(data / "train_images", target_is_directory=True)
    assert csv(data).train["image"][0] == "train_images/007.jpg"


def test_csv_sample_with_another_id_header(data):
    write(data / "sample_submission.csv", "Id,Predicted\n0001,NA\n0002,NA\n")
    (data / "test.csv").unlink()
    tables = csv(data)
    assert tables.id_column == "Id" and tables.test["id"].tolist() == ["0001", "0002"]
