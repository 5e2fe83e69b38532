"""Preprocess `face_crop`: only the largest face, found by OpenCV or by a detector of the user's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from comp.api import PluginError, Preprocess, plugin

from ._boxes import Box, as_colours, cut_out, load_function

Detect = Callable[[np.ndarray], Sequence[Box]]


@plugin("preprocess")
def face_crop(
    root: Path,
    /,
    *,
    function: str | None = None,
    model: Path | None = None,
    margin: float = 0.3,
    square: bool = True,
) -> Preprocess:
    """Cut the largest face out; an image in which none is found stays whole.

    Args:
        function: `module.attribute`, called with (H, W, 3) uint8 RGB, which returns boxes (left, top, width, height) in pixels.
        model: weights of OpenCV's YuNet (Wu et al. 2023), an .onnx that you have; null, without a function: OpenCV's frontal
            Haar cascade (Viola and Jones 2001), which versions before 5 bring along.
        margin: share of the face's size that is added on each side, from 0.
        square: whether the shorter side is widened to the longer one.

    Raises:
        PluginError: no such function or file; or this OpenCV has no cascade.

    Example: {use: face_crop, function: faces.detect, margin: 0.3}
    """
    if margin < 0:
        raise PluginError(f"face_crop: margin is {margin}; wanted 0 or more")
    detect = load_function(function, "face_crop") if function else open_model(root, model) if model else open_cascade()

    def crop(image: np.ndarray, ref: str) -> np.ndarray:
        colours = as_colours(image)
        found = [tuple(map(float, box[:4])) for box in detect(colours)]
        return cut_out(image, max(found, key=lambda box: box[2] * box[3]), margin, square) if found else image

    return crop


def open_model(root: Path, model: Path) -> Detect:
    file = next((path for path in (root / model, model) if path.is_file()), None)
    if file is None:
        raise PluginError(f"face_crop: there is no file {model} in {root}")
    own = threading.local()

    def detect(image: np.ndarray) -> Sequence[Box]:
        if not hasattr(own, "detector"):  # one for each thread: it holds the size of its input
            own.detector = cv2.FaceDetectorYN.create(str(file), "", (320, 320))
        own.detector.setInputSize((image.shape[1], image.shape[0]))
        faces = own.detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        return [] if faces is None else [tuple(face[:4]) for face in faces]

    return detect


def open_cascade() -> Detect:
    file = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
        raise PluginError(
            f"face_crop: OpenCV {cv2.__version__} brings no face detector along; name one: `function: module.attribute`, or "
            "`model:` a YuNet .onnx (or install opencv-python-headless below 5)"
        )
    own = threading.local()

    def detect(image: np.ndarray) -> Sequence[Box]:
        if not hasattr(own, "cascade"):
            own.cascade = cv2.CascadeClassifier(str(file))
        return [tuple(box) for box in own.cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 1.1, 4)]

    return detect
