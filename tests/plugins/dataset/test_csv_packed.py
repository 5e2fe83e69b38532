"""Dataset csv: tables inside .7z, .zip and .gz, read into memory."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import py7zr
import pytest
from PIL import Image

from comp import packed
from comp.api import DataError
from comp.competition import hash_tables
from comp.plugins.dataset.csv import csv, list_unseen

TABLE = "id,label\n007,a\n08,NA\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("007", "08", "10"):
        (tmp_path / "train_images").mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "train_images" / f"{name}.jpg")
    return tmp_path


def write_seven(path: Path, members: Mapping[str, str | bytes], password: str | None = None) -> None:
    with py7zr.SevenZipFile(path, "w", password=password) as archive:
        for name, content in members.items():
            archive.writef(io.BytesIO(content.encode() if isinstance(content, str) else content), name)


def write_zip(path: Path, members: Mapping[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def list_all(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_table_is_the_same_in_every_archive(data: Path) -> None:
    write_seven(data / "train.csv.7z", {"data/processed/train.csv": TABLE})
    write_zip(data / "train.csv.zip", {"train.csv": TABLE, "__MACOSX/._train.csv": "x", ".hidden": "x"})
    write_zip(data / "packed.zip", {"anything.tsv": TABLE.replace(",", "\t")})
    (data / "train.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + TABLE.encode()))
    frame = pd.DataFrame({"id": ["007", "08"], "label": ["a", "NA"]})
    memory = io.BytesIO()
    frame.to_parquet(memory)
    write_zip(data / "train.parquet.zip", {"train.parquet": memory.getvalue()})
    before = list_all(data)
    for name in ("train.csv.7z", "train.csv.zip", "packed.zip", "train.csv.gz", "train.parquet.zip"):
        tables = csv(data, train=name)
        assert tables.train[["id", "label"]].values.tolist() == [["007", "a"], ["08", "NA"]], name
        assert tables.train["image"].tolist() == ["train_images/007.jpg", "train_images/08.jpg"]
        assert tables.files == (data.resolve() / name,) and len(hash_tables(tables)) == 64
    assert list_all(data) == before


def test_of_several_members_the_one_that_is_called_so(data: Path) -> None:
    write_zip(data / "train.csv.zip", {"a/readme.md": "x", "a/Train.csv": TABLE, "test.csv": "id\n1\n"})
    assert csv(data, train="train.csv.zip").train["id"].tolist() == ["007", "08"]
    write_seven(data / "all.7z", {"train.csv": TABLE, "test.csv": "id\n1\n"})
    with pytest.raises(DataError, match=r"all.7z holds 2 files \('train.csv', 'test.csv'\); wanted one table, or one.*'all'"):
        csv(data, train="all.7z")
    write_zip(data / "twice.csv.zip", {"a/twice.csv": TABLE, "b/twice.csv": TABLE})
    with pytest.raises(DataError, match=r"holds 2 files \('a/twice.csv', 'b/twice.csv'\)"):
        csv(data, train="twice.csv.zip")
    write_zip(data / "none.zip", {".hidden": "x"})
    with pytest.raises(DataError, match="none.zip holds no file"):
        csv(data, train="none.zip")


def test_nothing_lands_where_a_member_points(data: Path) -> None:
    inside = data / "a" / "b"
    inside.mkdir(parents=True)
    write_zip(inside / "train.csv.zip", {"../../evil/train.csv": TABLE})
    (inside / "train_images").symlink_to(data / "train_images")
    before = list_all(data)
    assert len(csv(inside, train="train.csv.zip").train) == 2
    assert list_all(data) == before


@pytest.mark.parametrize("ending", ["7z", "zip", "gz"])
def test_no_more_is_unpacked_than_is_allowed(data: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    large = TABLE + "".join(f"{number},b\n" for number in range(10**5))
    if ending == "gz":
        (data / "train.csv.gz").write_bytes(gzip.compress(large.encode()))
    else:
        {"7z": write_seven, "zip": write_zip}[ending](data / f"train.csv.{ending}", {"train.csv": large})
    monkeypatch.setattr(packed, "LARGEST_BYTES", len(large) - 1)
    monkeypatch.setattr(packed, "CHUNK_BYTES", 1000)
    with pytest.raises(DataError, match=rf"train.csv.{ending}: its table takes more than .* unpacked"):
        csv(data, train=f"train.csv.{ending}")
    monkeypatch.setattr(packed, "LARGEST_BYTES", len(large))
    assert len(packed.unpack_table(data / f"train.csv.{ending}")[1]) == len(large)


@pytest.mark.parametrize("ending", ["7z", "zip", "gz"])
def test_a_damaged_archive_is_named(data: Path, ending: str) -> None:
    whole = {"7z": write_seven, "zip": write_zip}
    path = data / f"train.csv.{ending}"
    if ending == "gz":
        path.write_bytes(gzip.compress(TABLE.encode() * 500)[:-20])
    else:
        whole[ending](path, {"train.csv": TABLE * 500})
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"train.csv.{ending} cannot be unpacked"):
        csv(data, train=path.name)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=f"train.csv.{ending} cannot be unpacked"):
        csv(data, train=path.name)


def test_a_locked_archive_is_named(data: Path) -> None:
    write_seven(data / "train.csv.7z", {"train.csv": TABLE}, password="secret")
    with pytest.raises(DataError, match="train.csv.7z is locked with a password"):
        csv(data, train="train.csv.7z")


def test_without_py7zr_the_extra_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seven(data / "train.csv.7z", {"train.csv": TABLE})
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(DataError, match=r"train.csv.7z: 7z is read by py7zr, which is not installed.*comp-kit\[archives\]"):
        csv(data, train="train.csv.7z")


def test_sample_test_and_bands_may_be_packed(tmp_path: Path) -> None:
    bands = np.arange(72, dtype=float).reshape(4, 2, 9)
    rows = [{"id": f"i{row}", "b1": list(bands[row, 0]), "b2": list(bands[row, 1])} for row in range(4)]
    known = [row | {"label": number % 2} for number, row in enumerate(rows[:2])]
    write_seven(tmp_path / "train.json.7z", {"data/train.json": json.dumps(known)})
    write_zip(tmp_path / "test.json.zip", {"test.json": json.dumps(rows[2:])})
    (tmp_path / "sample.csv.gz").write_bytes(gzip.compress(b"id,label\ni2,0\ni3,0\n"))
    wishes = {"bands": ["b1", "b2"], "range": [0.0, 255.0]}
    tables = csv(tmp_path, train="train.json.7z", test="test.json.zip", sample="sample.csv.gz", **wishes)
    assert tables.test["id"].tolist() == tables.sample["id"].tolist() == ["i2", "i3"]
    assert np.array_equal(tables.read(tables.test["image"][1])[:, :, 1], bands[3, 1].reshape(3, 3).astype(np.uint8))
    arguments = {
        **dict.fromkeys(["row", "image", "stack", "extension", "separator", "series", "order", "test_images", "planes"]),
        **{"id": "id", "columns": [], "bag": 0, "neighbours": 0, "layout": "auto", "window": "auto"},
        **wishes,
    }
    unseen = list_unseen(tmp_path / "test.json.zip", tables, False, {}, **arguments)
    assert unseen.test["id"].tolist() == ["i2", "i3"]
    assert np.array_equal(unseen.read(unseen.test["image"][0])[:, :, 0], bands[2, 0].reshape(3, 3).astype(np.uint8))


def test_a_damaged_lzma_zip_is_named(data: Path) -> None:
    path = data / "train.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("train.csv", TABLE * 500)
    assert len(packed.unpack_table(path)[1]) == len(TABLE) * 500
    content = bytearray(path.read_bytes())
    for place in range(39, 60):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="train.csv.zip cannot be unpacked"):
        csv(data, train=path.name)


@pytest.mark.parametrize("name", [".", "", "./"])
def test_a_member_without_a_name_is_passed_over(data: Path, name: str) -> None:
    for packed_name, members in (("train.csv.zip", {"train.csv": TABLE}), ("none.zip", {})):
        write_zip(data / packed_name, members)
        with zipfile.ZipFile(data / packed_name, "a") as archive:
            nameless = zipfile.ZipInfo("x")
            nameless.filename = name
            with archive.open(nameless, "w") as file:
                file.write(b"x")
    assert csv(data, train="train.csv.zip").train["id"].tolist() == ["007", "08"]
    with pytest.raises(DataError, match="none.zip holds no file"):
        csv(data, train="none.zip")
