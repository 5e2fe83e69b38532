"""Preprocess `stretch`: each image's own darkest and brightest value become black and white."""

from __future__ import annotations

import numpy as np

from comp.api import PluginError, Preprocess, plugin


@plugin("preprocess")
def stretch(*, cut: float = 0.0, by_channel: bool = False) -> Preprocess:
    """Min-max: an image's least value becomes 0, its greatest 255, what is between in proportion. A flat image stays as it is.

    Args:
        cut: share of the values at either end that becomes 0 or 255, in [0, 0.5): 0.01 leaves out a few bright specks.
        by_channel: whether each channel has extremes of its own, which changes colours.

    Raises:
        PluginError: cut is outside [0, 0.5).

    Example: {use: stretch, cut: 0.01}
    """
    if not 0 <= cut < 0.5:
        raise PluginError(f"stretch: cut is {cut}; wanted a share in [0, 0.5)")
    axes = (0, 1) if by_channel else (0, 1, 2)

    def scale(image: np.ndarray, ref: str) -> np.ndarray:
        low, high = np.quantile(image, [cut, 1 - cut], axis=axes, keepdims=True)
        scaled = (image - low) * (255 / np.where(high > low, high - low, 1))
        return np.where(high > low, np.rint(scaled.clip(0, 255)), image).astype(np.uint8)

    return scale
