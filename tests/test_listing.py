from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from comp.listing import Place, list_data, rank_places
from comp.look import find_class_folders, find_label_pattern, find_part, find_tables, find_top, is_picture


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_images_are_found_by_name_wherever_they_lie_and_never_opened(tmp_path):
    touch(tmp_path, "train/0/a.jpg", "train/1/b.jpg", "train/1/notes.txt", "test/c.jpg", ".hidden/a.jpg")
    found = rank_places(list_data(tmp_path), "train", ["a", "b"])
    assert found[:2] == [Place("train", 1.0, (".jpg",)), Place(".", 1.0, (".jpg",))]
    assert found[2].share == 0.5
    assert rank_places(list_data(tmp_path), "test", ["x"]) == []


def test_dots_in_an_id_are_no_extension(tmp_path):
    touch(tmp_path, "train/1.2.826.0.jpg", "train/1.2.826.1.jpg")
    listing = list_data(tmp_path)
    assert rank_places(listing, "train", ["1.2.826.0", "1.2.826.1"])[0].share == 1
    assert rank_places(listing, "train", ["1.2.826.0.jpg"])[0].share == 1
    assert rank_places(listing, "train", ["1.2.826"]) == []


def test_pictures_before_copies_in_other_formats_and_before_what_is_old(tmp_path):
    touch(tmp_path, "train/a.dcm", "jpeg/train/a.jpg", "old_data/train/a.jpg", "tfrecords/train00.tfrec")
    assert [place.name for place in rank_places(list_data(tmp_path), "train", ["a"])][0] == "jpeg/train"


def test_archives_are_listed_in_place_whatever_a_tar_is_called(tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr("a.png", b"")
        archive.writestr("__MACOSX/._a.png", b"")
    with tarfile.open(tmp_path / "test.tar.gz", "w:") as archive:
        archive.addfile(tarfile.TarInfo("group/b.png"), io.BytesIO())
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    listing = list_data(tmp_path)
    assert listing.members == {"test.tar.gz": ("group/b.png",), "train.zip": ("a.png",)}
    assert listing.unlisted == ["broken.zip"]
    assert rank_places(listing, "test", ["top/group/b.png"]) == [Place("test.tar.gz", 1.0, (".png",))]
    assert rank_places(listing, "test", ["other/b.png"]) == []


def test_tables_by_their_names(tmp_path):
    touch(
        tmp_path, "labels.csv", "train.json.7z", "train.csv", "val2019.json", "x2020_train_notes.json", "x_test_information.json",
        "kaggle_sample_submission.csv", "train/a.jpg", "deep/train.csv", "README.txt",
    )  # fmt: skip
    files = find_tables(list_data(tmp_path))
    assert files.trains == ("train.csv", "train.json.7z", "x2020_train_notes.json", "labels.csv", "val2019.json")
    assert (files.tests, files.samples) == (("x_test_information.json",), ("kaggle_sample_submission.csv",))


def test_tables_in_the_folders_of_their_parts(tmp_path):
    touch(tmp_path, "train/train.csv", "eval/info.csv", "train/images/a.jpg")
    files = find_tables(list_data(tmp_path))
    assert (files.trains, files.tests) == (("train/train.csv",), ("eval/info.csv",))


def test_the_part_of_a_folder_is_beside_others_and_goes_as_deep_as_it_is_alone(tmp_path):
    touch(tmp_path, *(f"all/seg_{part}/seg_{part}/{name}/1.jpg" for part in ("train", "test") for name in ("sea", "street")))
    listing = list_data(tmp_path)
    assert find_part(listing, "train") is None and find_part(listing, "train", near=True) == "all/seg_train/seg_train"
    assert find_top(listing) == "all" and find_class_folders(listing, "all/seg_test/seg_test") == ["sea", "street"]


@pytest.mark.parametrize(
    ("names", "pattern", "classes"),
    [
        (["cat.1.jpg", "dog.1.jpg", "cat.2.jpg", "dog.22.jpg"], r"^(cat|dog)\.", ["cat", "dog"]),
        (
            ["Bengal_1.jpg", "Maine_Coon_1.jpg", "Bengal_2.jpg", "Maine_Coon_10.jpg"],
            r"^(Bengal|Maine_Coon)_",
            ["Bengal", "Maine_Coon"],
        ),
        (["3_001.png", "7_002.png", "3_003.png", "7_004.png"], "^(3|7)_", ["3", "7"]),
        (["1.jpg", "2.jpg", "3.jpg", "4.jpg"], None, []),
        (["IMG_1.jpg", "IMG_2.jpg"], None, []),
    ],
)
def test_classes_in_names(names, pattern, classes):
    assert find_label_pattern(names) == (None if pattern is None else (pattern, classes))


def test_cells_that_are_pictures():
    assert is_picture(str([0.5] * 25)) and is_picture(str([[1] * 5] * 4))
    assert not is_picture(str([0.5] * 24)) and not is_picture("[1, 2]") and not is_picture("[broken") and not is_picture("12")
