"""Preprocess `centre_crop`: the middle of every image, of one size in pixels."""

from __future__ import annotations

import numpy as np

from comp.api import PluginError, Preprocess, plugin


@plugin("preprocess")
def centre_crop(*, size: list[int]) -> Preprocess:
    """Cut the middle out, from training and test images alike. A side that is shorter already stays as it is.

    Args:
        size: [height, width] in pixels of the whole image.

    Raises:
        PluginError: size is not two numbers from 1.

    Example: {use: centre_crop, size: [450, 350]}
    """
    if len(size) != 2 or min(size) < 1:
        raise PluginError(f"centre_crop: size is {size}; wanted [height, width] of 1 or more")

    def cut(image: np.ndarray, ref: str) -> np.ndarray:
        top, left = (max(0, (side - wanted) // 2) for side, wanted in zip(image.shape, size, strict=False))
        return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])

    return cut
