from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comp.api import PluginError
from comp.plugins.preprocess.stretch import stretch


def test_min_max_by_hand() -> None:
    image = np.array([[50, 90], [75, 150]], np.uint8)[:, :, None]
    assert stretch()(image, "a")[:, :, 0].tolist() == [[0, 102], [64, 255]]  # 63.75


@given(st.integers(0, 2**32 - 1))
def test_it_is_min_max_over_all_channels_or_each(seed: int) -> None:
    image = np.random.default_rng(seed).integers(20, 200, (6, 5, 3), dtype=np.uint8)
    low, high = float(image.min()), float(image.max())
    assert np.abs(stretch()(image, "a") - (image - low) / (high - low) * 255).max() <= 0.5 + 1e-9
    each = stretch(by_channel=True)(image, "a")
    assert each.min(axis=(0, 1)).tolist() == [0] * 3 and each.max(axis=(0, 1)).tolist() == [255] * 3


def test_a_flat_image_stays_and_a_cut_leaves_specks_out() -> None:
    flat = np.full((4, 4, 1), 77, np.uint8)
    assert np.array_equal(stretch()(flat, "a"), flat)
    image = np.repeat(np.arange(100, 200, dtype=np.uint8), 10).reshape(40, 25, 1)
    image[0, 0] = 255
    found = stretch(cut=0.01)(image, "a")
    assert found[0, 0, 0] == 255 and (found == 255).sum() > 10 and stretch()(image, "a").flat[-1] < 165


@pytest.mark.parametrize("cut", [-0.1, 0.5])
def test_refuses_what_is_out_of_range(cut: float) -> None:
    with pytest.raises(PluginError, match="wanted a share in"):
        stretch(cut=cut)
