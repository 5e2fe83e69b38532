from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError
from comp.plugins.preprocess.centre_crop import centre_crop


def test_keeps_the_middle() -> None:
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7, 1)
    assert centre_crop(size=[3, 3])(image, "a")[:, :, 0].tolist() == [[9, 10, 11], [16, 17, 18], [23, 24, 25]]
    assert centre_crop(size=[9, 2])(image, "a")[:, :, 0].tolist() == [[7 * row + 2, 7 * row + 3] for row in range(5)]


def test_512_by_384_becomes_450_by_350() -> None:
    image = np.zeros((512, 384, 3), np.uint8)
    image[31, 17] = image[480, 366] = 255
    found = centre_crop(size=[450, 350])(image, "a")
    assert found.shape == (450, 350, 3) and found[0, 0].tolist() == found[449, 349].tolist() == [255] * 3


@pytest.mark.parametrize("size", [[3], [0, 4], [1, 2, 3]])
def test_refuses_what_is_no_size(size) -> None:
    with pytest.raises(PluginError, match="wanted \\[height, width\\]"):
        centre_crop(size=size)
