"""Preprocess `clahe`: local contrast, as X-rays and eyes' fundus images are often shown."""

from __future__ import annotations

import cv2
import numpy as np

from comp.api import PluginError, Preprocess, plugin


@plugin("preprocess")
def clahe(*, clip: float = 2.0, tiles: int = 8) -> Preprocess:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), of the brightness in Lab; of other images by channel.

    Args:
        clip: how steep the contrast may get, as a multiple of a flat histogram's, above 0.
        tiles: into how many tiles each side is divided, from 1.

    Raises:
        PluginError: clip or tiles are out of range.

    Example: {use: clahe, clip: 2.0, tiles: 8}
    """
    if clip <= 0 or tiles < 1:
        raise PluginError(f"clahe: clip is {clip}, tiles {tiles}; wanted clip above 0 and tiles from 1")

    def equalise(image: np.ndarray, ref: str) -> np.ndarray:
        # An object of its own for each image: OpenCV's is not to be shared between threads.
        tool = cv2.createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles))
        if image.shape[2] != 3:
            return np.dstack([tool.apply(np.ascontiguousarray(image[:, :, channel])) for channel in range(image.shape[2])])
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        lab[:, :, 0] = tool.apply(np.ascontiguousarray(lab[:, :, 0]))
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)

    return equalise
