from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from comp.api import DataError
from comp.plugins.dataset import digits as digits_module
from comp.plugins.dataset.digits import digits
from comp.plugins.leaderboard.digits import read_answers


def test_digits_are_scikit_learns():
    tables, source = digits(Path(".")), load_digits()
    assert (len(tables.train), len(tables.test)) == (1347, 450)
    rows = tables.train["id"].str.removeprefix("digit_").astype(int) - 1
    assert tables.train["label"].astype(int).tolist() == source.target[rows].tolist()
    image = tables.read(tables.train["image"][5])
    assert image.dtype == np.uint8 and image.shape == (8, 8)
    assert np.abs(image - source.images[rows[5]] * 255 / 16).max() <= 0.5
    assert set(tables.test["id"]) | set(tables.train["id"]) == {f"digit_{i:04d}" for i in range(1, 1798)}
    assert set(tables.test["id"]) == set(read_answers())


def test_digits_split_never_changes():
    test = digits(Path(".")).test["id"]
    assert test.head(3).tolist() == ["digit_0001", "digit_0004", "digit_0007"]


def test_digits_leave_the_answers_unread(tmp_path, monkeypatch):
    """With nonsense where the 450 answers stand, the dataset is the same: it never parses them."""
    real = digits(Path("."))
    lines = gzip.open(digits_module.find_file(), "rt").read().splitlines()
    for name in real.test["id"]:
        row = int(name.removeprefix("digit_")) - 1
        lines[row] = lines[row].rpartition(",")[0] + ",answer withheld"
    with gzip.open(tmp_path / "digits.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    monkeypatch.setattr(digits_module, "find_file", lambda: tmp_path / "digits.csv.gz")
    blinded = digits(Path("."))
    pd.testing.assert_frame_equal(blinded.train, real.train)
    pd.testing.assert_frame_equal(blinded.test, real.test)
    assert np.array_equal(blinded.read.pixels, real.read.pixels)
    assert list(real.test.columns) == ["row_id", "id", "image"] and set(real.sample["label"]) == {"0"}


def test_digits_reader_crosses_processes():
    tables = digits(Path("."))
    again = pickle.loads(pickle.dumps(tables.read))
    assert np.array_equal(again("digit_0001"), tables.read("digit_0001"))


def test_digits_file_that_is_cut_short(tmp_path, monkeypatch):
    with gzip.open(digits_module.find_file(), "rt") as file, gzip.open(tmp_path / "short.gz", "wt") as short:
        short.writelines(file.readlines()[:100])
    monkeypatch.setattr(digits_module, "find_file", lambda: tmp_path / "short.gz")
    with pytest.raises(DataError, match="fewer than 1797"):
        digits(Path("."))


def test_digits_with_several_targets():
    tables = digits(Path("."), target=["high", "rest"], auxiliary=["label"])
    assert tables.targets == ("high", "rest") and tables.auxiliary == ("label",)
    numbers = tables.train[["high", "rest", "label"]].astype(int)
    assert (numbers["high"] * 5 + numbers["rest"] == numbers["label"]).all() and set(numbers["rest"]) == set(range(5))
    assert tables.sample.columns.tolist() == ["id", "high", "rest"]
    with pytest.raises(DataError, match="no column 'parity' to predict; it has label, high, rest, writer"):
        digits(Path("."), target="parity")


def test_digits_say_who_wrote_them():
    """Fourteen stretches of the file, each of which begins with the digits in order."""
    table, labels = digits(Path(".")).train, load_digits().target
    rows, writers = table["id"].str.removeprefix("digit_").astype(int) - 1, table["writer"].astype(int)
    assert writers.is_monotonic_increasing and set(writers) == set(range(1, 15))
    assert writers.groupby(writers).size().between(75, 125).all()
    for first in (130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667):
        assert labels[first : first + 10].tolist() == list(range(10))
        assert writers[rows < first].max() < writers[rows >= first].min()
