"""Pictures that differ as photographs do, and copies of them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest


@pytest.fixture
def draw() -> Callable[[int], np.ndarray]:
    """A number -> a picture of its own, (96, 120, 3) uint8: coloured clouds."""

    def draw_picture(number: int) -> np.ndarray:
        clouds = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        return cv2.resize(clouds, (120, 96), interpolation=cv2.INTER_CUBIC)

    return draw_picture


@pytest.fixture
def copy_badly() -> Callable[[np.ndarray], np.ndarray]:
    """A picture -> itself at half the size, brighter, as a poor JPEG."""

    def copy(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (60, 48), interpolation=cv2.INTER_AREA)
        bright = np.clip(small.astype(np.int64) * 1.05 + 10, 0, 255).astype(np.uint8)
        return cv2.imdecode(cv2.imencode(".jpg", bright, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)

    return copy
