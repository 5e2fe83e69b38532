from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from comp.api import PluginError
from comp.plugins.preprocess.clahe import clahe


def test_spreads_the_brightness_and_keeps_the_colour() -> None:
    image = (load_sample_image("china.jpg")[::4, ::4] // 4 + 96).astype(np.uint8)
    found = clahe(clip=4.0)(image, "a")
    assert found.shape == image.shape and found.mean(axis=2).std() > 1.5 * image.mean(axis=2).std()
    grey = clahe(clip=4.0)(image[:, :, :1], "a")
    assert grey.shape == image[:, :, :1].shape and grey.std() > 1.5 * image[:, :, 0].std()


def test_threads_do_not_disturb_each_other() -> None:
    images = [np.random.default_rng(seed).integers(0, 255, (40 + seed, 64, 1), dtype=np.uint8) for seed in range(8)]
    step = clahe()
    alone = [step(image, "") for image in images]
    with ThreadPoolExecutor(8) as pool:
        assert all(map(np.array_equal, alone * 10, pool.map(lambda image: step(image, ""), images * 10)))


def test_refuses_what_is_out_of_range() -> None:
    with pytest.raises(PluginError, match="clip is 0, tiles 8"):
        clahe(clip=0)
