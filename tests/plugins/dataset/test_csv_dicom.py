"""Dataset csv: the DICOM files of hospitals show the same picture, however many bits they have and whichever side is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from comp.plugins.dataset.csv import csv
from tests.competitions.dicoms import write_dicom

INK = np.linspace(0, 1, 40 * 32).reshape(40, 32)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("jpeg2000", [False, True])
def test_a_picture_in_every_spelling(tmp_path: Path, bits: int, inverted: bool, jpeg2000: bool) -> None:
    write_dicom(tmp_path / "train_images" / "p1" / "7.dcm", INK, bits, inverted, jpeg2000)
    (tmp_path / "train.csv").write_text("id,label\n7,a\n")
    tables = csv(tmp_path)
    shown = tables.read(tables.train["image"][0])
    assert shown.shape == (40, 32, 1) and shown.dtype == np.uint8
    assert np.abs(shown[:, :, 0] / 255 - INK).max() <= 1 / 255


def test_colours_stay(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    write_dicom(tmp_path / "train_images" / "7.dcm", colours)
    (tmp_path / "train.csv").write_text("id,label\n7,a\n")
    assert np.array_equal(csv(tmp_path).read("train_images/7.dcm"), colours)
