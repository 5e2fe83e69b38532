"""Dataset idx, on a file as the format's page writes it."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from comp.api import DataError
from comp.plugins.dataset.idx import idx, read_idx

IMAGES, LABELS, TESTS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"


def write_idx(path: Path, values: np.ndarray, cut: int = 0) -> None:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    data = head + values.astype(np.uint8).tobytes()
    data = data[: len(data) - cut]
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_idx(tmp_path / IMAGES, np.arange(3 * 2 * 4).reshape(3, 2, 4))
    write_idx(tmp_path / LABELS, np.array([7, 0, 7]))
    write_idx(tmp_path / TESTS, np.arange(2 * 2 * 4).reshape(2, 2, 4) + 100)
    return tmp_path


def test_a_file_worked_by_hand(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes([0, 0, 11, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 255, 255]))  # (1, 2) of int16: 256, -1
    assert read_idx(tmp_path / "x").tolist() == [[256, -1]]


def test_rows_images_and_labels(data: Path) -> None:
    tables = idx(data)
    assert tables.train["label"].tolist() == ["7", "0", "7"] and tables.train["id"].tolist() == ["train_0", "train_1", "train_2"]
    read = pickle.loads(pickle.dumps(tables.read))
    assert read(tables.train["image"][1]).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert tables.test["id"].tolist() == ["0", "1"] and read("test/1")[0, 0] == 108 and read.sources("test/1") == [TESTS]
    assert idx(data, transpose=True).read("train/0").tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_a_samples_ids(data: Path) -> None:
    (data / "sample.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    tables = idx(data, sample="sample.csv")
    assert tables.test["id"].tolist() == ["1", "2"] and tables.id_column == "ImageId"
    (data / "sample.csv").write_text("ImageId,Label\n1,0\n")
    with pytest.raises(DataError, match="sample.csv has 1 rows, .* 2 images"):
        idx(data, sample="sample.csv")
    assert idx(data, test_images="none.gz").test is None


def test_files_that_are_none(data: Path) -> None:
    write_idx(data / LABELS, np.array([1]))
    with pytest.raises(DataError, match="one for each of 3 images"):
        idx(data)
    write_idx(data / "cut", np.zeros((2, 2, 2)), cut=1)
    with pytest.raises(DataError, match=r"cut holds 7 bytes of values; \(2, 2, 2\) wants 8"):
        idx(data, images="cut")
    (data / "png").write_bytes(b"\x89PNG....")
    with pytest.raises(DataError, match="png is no idx file: it begins with 89 50 4e 47"):
        idx(data, images="png")
    (data / "half.gz").write_bytes((data / IMAGES).read_bytes()[:-9])
    with pytest.raises(DataError, match="half.gz is cut short"):
        idx(data, images="half.gz")
    with pytest.raises(DataError, match="leads out"):
        idx(data, images="../x")
