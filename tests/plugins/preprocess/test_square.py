from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError
from comp.plugins.preprocess.square import square


def test_pads_evenly_and_cuts_nothing() -> None:
    image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    found = square()(image, "a")
    assert found.shape == (5, 5, 3) and np.array_equal(found[1:3], image) and not found[[0, 3, 4]].any()
    assert np.array_equal(square(fill="edge")(image, "a")[0], image[0])
    assert square(fill=9)(image[:, :, :1], "a")[4, 0].tolist() == [9]
    assert square(fill="mean")(image, "a")[0, 0].tolist() == [14, 14, 16]  # means 13.5, 14.5, 15.5 to the even number


def test_grey_is_the_brightness_of_bt601() -> None:
    found = square(grey=True)(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), "a")
    assert found[0, :, :].tolist() == [[76, 76, 76], [150, 150, 150]]
    one = np.full((2, 2, 1), 7, np.uint8)
    assert square(grey=True)(one, "a") .tolist() == one.tolist()


def test_refuses_a_fill_that_is_no_byte() -> None:
    with pytest.raises(PluginError, match="fill is 300; wanted 0 to 255"):
        square(fill=300)
