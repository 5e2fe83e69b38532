from __future__ import annotations

import io
import pickle
import tarfile
import unicodedata
import zipfile
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


# ---- classes in names, archives, numbers ---------------------------------------------------------------------------------


def name_pets(tests: int = 0) -> list[str]:
    return [f"{number}.jpg" for number in range(1, tests + 1)] if tests else ["cat.0.jpg", "cat.10.jpg", "cat.2.jpg", "dog.0.jpg"]


def pack(path: Path, names: list[str]) -> None:
    """An archive by its ending, each member a grey image as bright as its place."""
    members = {}
    for place, name in enumerate(names):
        file = io.BytesIO()
        Image.new("L", (3, 2), place).save(file, format="PNG")
        members[name] = file.getvalue()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_labels_in_file_names(tmp_path):
    for name in name_pets():
        draw(tmp_path / "train" / name)
    table = folder(tmp_path, label=r"(cat|dog)\.").train
    assert table[["id", "image", "label", "part"]].to_numpy().tolist() == [
        [path, path, label, "train"]
        for path, label in (
            ("train/cat.0.jpg", "cat"), ("train/cat.2.jpg", "cat"), ("train/cat.10.jpg", "cat"), ("train/dog.0.jpg", "dog")
        )
    ]  # fmt: skip


def test_labels_in_folders_that_are_not_the_first(tmp_path):
    for name in ("a/n01/x.png", "b/n02/y.png"):
        draw(tmp_path / "train" / name)
    assert folder(tmp_path, label=r"/(n\d+)/").train["label"].tolist() == ["n01", "n02"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("(cat", r"dataset.label: '\(cat' is no regular expression: missing \)"),
        ("cat", "has 0 groups; wanted one"),
        (r"(c)(at)", "has 2 groups; wanted one"),
        (r"(cat)\.", r"finds no class in the names of 1 of 4 images: 'dog.0.jpg'"),
        (r"(cat)?", r"finds no class in the names of 1 of 4 images"),
        (None, "4 images lie outside any class folder, .*dataset.label says where"),
    ],
)
def test_labels_that_are_not_found(tmp_path, label, message):
    for name in name_pets():
        draw(tmp_path / "train" / name)
    with pytest.raises(DataError, match=message):
        folder(tmp_path, label=label)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("head", ["", "train/", "deep/train/"])
def test_images_inside_an_archive(tmp_path, suffix, head):
    pack(tmp_path / f"train{suffix}", [head + name for name in name_pets()])
    pack(tmp_path / f"test{suffix}", [f"test/{name}" for name in name_pets(12)])
    write(tmp_path / "sample.csv", "id,label\n" + "".join(f"{number},0.5\n" for number in range(1, 13)))
    tables = folder(tmp_path, train=f"train{suffix}", test=f"test{suffix}", sample="sample.csv", label="^(cat|dog)")
    assert dict(zip(tables.train["id"], tables.train["label"])) == {
        f"train{suffix}/{head}{name}": name[:3] for name in name_pets()
    }
    assert tables.test["id"].tolist() == [str(number) for number in range(1, 13)]
    read = pickle.loads(pickle.dumps(tables.read))
    shown = [Image.open(io.BytesIO(read(ref))).getpixel((0, 0)) for ref in tables.test["image"]]
    assert shown == list(range(12))


@pytest.mark.parametrize("head", ["", "train/", "a/b/"])
def test_class_folders_inside_an_archive(tmp_path, head):
    pack(tmp_path / "train.zip", [f"{head}Fat Hen/1.png", f"{head}Maize/1.png", f"{head}Maize/notes.txt"])
    pack(tmp_path / "valid.zip", [f"{head}Maize/2.png"])
    table = folder(tmp_path, train="train.zip", valid="valid.zip").train
    assert table["label"].tolist() == ["Fat Hen", "Maize", "Maize"] and table["part"].tolist() == ["train", "train", "valid"]


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_numbers_that_name_images_are_not_those_of_rows(tmp_path, ending):
    """0, 1, ..., 11: as text, 10 comes before 2, and a sample of numbers could be taken to number its rows."""
    draw(tmp_path / "train" / "cat.0.jpg")
    for number in range(12):
        draw(tmp_path / "test" / f"{number}.jpg")
    write(tmp_path / "sample.csv", "id,label\n" + "".join(f"{number}{ending},0\n" for number in reversed(range(12))))
    tables = folder(tmp_path, test="test", sample="sample.csv", label="(cat)")
    assert dict(zip(tables.test["id"], tables.test["image"])) == {f"{n}{ending}": f"test/{n}.jpg" for n in range(12)}
    assert folder(tmp_path, test="test", label="(cat)").test["id"].tolist() == [f"test/{n}.jpg" for n in range(12)]


def test_rows_that_are_numbered_follow_the_numbers_in_names(tmp_path):
    draw(tmp_path / "train" / "cat.0.jpg")
    for number in range(1, 12):
        draw(tmp_path / "test" / "0" / f"butterfly {number}.jpg")
    write(tmp_path / "sample.csv", ",answer value\n" + "".join(f"{number},0\n" for number in range(11)))
    tables = folder(tmp_path, test="test", sample="sample.csv", label="(cat)")
    assert tables.id_column == "" and tables.test["id"].tolist() == [f"test/0/butterfly {n}.jpg" for n in range(1, 12)]


@pytest.mark.parametrize(("folders", "written"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_labels_have_the_samples_form_of_letters(tmp_path, folders, written):
    for name in ("가지", "포도"):
        draw(tmp_path / unicodedata.normalize(folders, f"train/{name}/1.png"))
    draw(tmp_path / unicodedata.normalize(folders, "test/시험.png"))
    write(tmp_path / "sample.csv", unicodedata.normalize(written, "file,label\n시험,가지\n"))
    tables = folder(tmp_path, test="test", sample="sample.csv")
    assert sorted(tables.train["label"]) == [unicodedata.normalize(written, name) for name in ("가지", "포도")]
    assert tables.test["id"].tolist() == [unicodedata.normalize(written, "시험")]
