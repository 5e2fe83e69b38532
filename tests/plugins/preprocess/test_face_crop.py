from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from comp.api import PluginError
from comp.plugins.preprocess.face_crop import face_crop

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("faces_of_a_user")
    monkeypatch.setitem(sys.modules, "faces_of_a_user", module)
    return module


def test_the_largest_face_with_a_margin(faces: types.ModuleType) -> None:
    seen = []
    faces.detect = lambda image: seen.append(image.shape) or [(1, 1, 2, 2), (20, 10, 10, 8, 0.9)]
    step = face_crop(Path("."), function="faces_of_a_user.detect", margin=0.5, square=False)
    assert np.array_equal(step(IMAGE, "a"), IMAGE[6:22, 15:35])
    assert step(IMAGE[:, :, :1], "a").shape == (16, 20, 1) and seen == [(40, 60, 3)] * 2
    faces.detect = lambda image: np.empty((0, 4))
    assert face_crop(Path("."), function="faces_of_a_user.detect")(IMAGE, "a") is IMAGE


def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="function 'nowhere.detect' cannot be imported"):
        face_crop(Path("."), function="nowhere.detect")
    with pytest.raises(PluginError, match="there is no file yunet.onnx"):
        face_crop(Path("."), model=Path("yunet.onnx"))
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(PluginError, match="brings no face detector along; name one"):
        face_crop(Path("."))


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="this OpenCV has no cascades")
def test_opencvs_own_cascade_leaves_an_image_without_a_face_whole() -> None:
    assert face_crop(Path("."))(np.zeros((64, 64, 3), np.uint8), "a").shape == (64, 64, 3)
