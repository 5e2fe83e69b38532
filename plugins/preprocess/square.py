"""Preprocess `square`: grey, and padded to a square, as whales and other wide images are shown without squashing them."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from comp.api import PluginError, Preprocess, plugin


@plugin("preprocess")
def square(*, grey: bool = False, fill: int | Literal["edge", "mean"] = 0) -> Preprocess:
    """Bring an image to a square by padding its shorter side, evenly on both ends; nothing is cut off.

    Args:
        grey: whether colours become grey first (as many channels as before, all equal).
        fill: of the padding: a value in 0..255, the image's own mean colour, or its edge repeated.

    Raises:
        PluginError: fill is outside 0..255.

    Example: {use: square, grey: true, fill: mean}
    """
    if isinstance(fill, int) and not 0 <= fill <= 255:
        raise PluginError(f"square: fill is {fill}; wanted 0 to 255, edge or mean")

    def pad(image: np.ndarray, ref: str) -> np.ndarray:
        image = turn_grey(image) if grey else image
        height, width, channels = image.shape
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        margins = ((top, side - height - top), (left, side - width - left), (0, 0))
        if fill == "edge":
            return np.pad(image, margins, mode="edge")
        colour = np.rint(image.reshape(-1, channels).mean(axis=0)) if fill == "mean" else np.full(channels, fill)
        padded = np.empty((side, side, channels), np.uint8)
        padded[:] = colour.astype(np.uint8)
        padded[top : top + height, left : left + width] = image
        return padded

    return pad


def turn_grey(image: np.ndarray) -> np.ndarray:
    """RGB to equal channels by brightness (ITU-R BT.601); grey images stay, further channels too."""
    if image.shape[2] not in (3, 4):
        return image
    grey = cv2.cvtColor(np.ascontiguousarray(image[:, :, :3]), cv2.COLOR_RGB2GRAY)
    return np.dstack([grey, grey, grey, *([image[:, :, 3]] if image.shape[2] == 4 else [])])
