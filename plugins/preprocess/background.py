"""Preprocess `background`: what is behind the object is painted over, by GrabCut or by a model of the user's own."""

from __future__ import annotations

import cv2
import numpy as np

from comp.api import PluginError, Preprocess, plugin

from ._boxes import as_colours, load_function

LARGEST_PX = 320
LEAST_SHARE = 0.01


@plugin("preprocess")
def background(
    *, function: str | None = None, border: float = 0.05, rounds: int = 3, fill: int = 0, crop: bool = False
) -> Preprocess:
    """Paint the background over. Where no object is found the image stays as it is.

    Args:
        function: `module.attribute`, called with (H, W, 3) uint8 RGB, which returns a mask (H, W), above one half (of its type's
            range) on the object, e.g. rembg's; null: GrabCut (Rother et al. 2004), which takes the image's edge for background.
        border: share of each side that GrabCut takes for background, in (0, 0.5).
        rounds: of GrabCut, from 1.
        fill: what the background becomes, in 0..255.
        crop: whether only the object's box is kept.

    Raises:
        PluginError: no such function, or an argument out of range.

    Example: {use: background, border: 0.05, rounds: 3, fill: 0}
    """
    if not 0 < border < 0.5 or rounds < 1 or not 0 <= fill <= 255:
        raise PluginError(f"background: border {border}, rounds {rounds}, fill {fill}; wanted (0, 0.5), 1 or more, 0 to 255")
    find = load_function(function, "background") if function else None

    def paint(image: np.ndarray, ref: str) -> np.ndarray:
        colours = as_colours(image)
        mask = cut_object(colours, border, rounds) if find is None else as_mask(find(colours), image.shape[:2])
        if mask.mean() < LEAST_SHARE:
            return image
        painted = np.where(mask[:, :, None], image, np.uint8(fill))
        if not crop:
            return painted
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return np.ascontiguousarray(painted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])

    return paint


def cut_object(image: np.ndarray, border: float, rounds: int) -> np.ndarray:
    """(H, W) bool, by GrabCut at a reduced size: its time grows faster than the pixels."""
    height, width = image.shape[:2]
    share = min(1.0, LARGEST_PX / max(height, width))
    size = (max(3, round(width * share)), max(3, round(height * share)))
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    left, top = max(1, round(size[0] * border)), max(1, round(size[1] * border))
    mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    mask[top : size[1] - top, left : size[0] - left] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)  # its mixtures start from k-means, which draws; the seed is the thread's own
    try:
        cv2.grabCut(small, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return np.zeros((height, width), bool)  # a flat image, of which no mixture can be made
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def as_mask(given: object, size: tuple[int, int]) -> np.ndarray:
    """Raises PluginError: a function of the user's returned no mask of the image's size."""
    mask = np.asarray(given)
    if mask.shape[:2] != size or mask.ndim not in (2, 3):
        raise PluginError(f"background: the function returned {mask.dtype} {mask.shape}; wanted a mask of {size}")
    mask = mask[:, :, -1] if mask.ndim == 3 else mask
    return mask if mask.dtype == np.bool_ else mask > (np.iinfo(mask.dtype).max / 2 if mask.dtype.kind in "iu" else 0.5)
