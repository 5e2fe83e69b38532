"""Boxes of images, in pixels, and cutting them out with a margin."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from comp.api import PluginError

Box = tuple[float, float, float, float]
"""Left, top, width, height, in pixels of the whole image."""


def cut_out(image: np.ndarray, box: Box, margin: float, square: bool) -> np.ndarray:
    """What lies in a box (H, W, C), widened on each side by `margin` of its size; what is beyond the image is left out.

    Args:
        square: whether the shorter side is widened to the longer one, where the image allows it.
    """
    left, top, width, height = box
    if square:
        side = max(width, height)
        left, top, width, height = left - (side - width) / 2, top - (side - height) / 2, side, side
    right, bottom = left + width * (1 + margin), top + height * (1 + margin)
    left, top = left - width * margin, top - height * margin
    x, y = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
    cut = image[y : max(y, int(np.ceil(bottom))), x : max(x, int(np.ceil(right)))]
    return np.ascontiguousarray(cut) if cut.size else image


def as_colours(image: np.ndarray) -> np.ndarray:
    """(H, W, 3): the first three channels, or the first one three times."""
    channels = [0, 0, 0] if image.shape[2] < 3 else [0, 1, 2]
    return np.ascontiguousarray(image[:, :, channels])


def load_function(name: str, whose: str) -> Callable[..., Any]:
    """`module.attribute` of what is installed here.

    Raises:
        PluginError: there is no such module, or it has no such function.
    """
    module, _, attribute = name.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise PluginError(f"{whose}: function {name!r} cannot be imported ({error}); wanted module.attribute") from error
    if not callable(function):
        raise PluginError(f"{whose}: {name!r} is {type(function).__name__}; wanted a function of an image")
    return function
