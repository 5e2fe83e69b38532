from __future__ import annotations

import sys
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from comp.api import PluginError
from comp.plugins.preprocess.background import background


def draw_disc(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on noisy dark ground, and its mask."""
    rows, columns = np.mgrid[:80, :100]
    disc = (rows - 40) ** 2 + (columns - 50) ** 2 < 20**2
    noise = np.random.default_rng(seed).integers(0, 25, (80, 100, 3))
    return (noise + np.where(disc[:, :, None], [200, 180, 40], [20, 40, 60])).astype(np.uint8), disc


def test_grabcut_keeps_the_object() -> None:
    image, disc = draw_disc()
    found = background(fill=255)(image, "a")
    kept = (found != 255).any(axis=2)
    assert (kept == disc).mean() > 0.99 and np.array_equal(found[kept], image[kept])
    cut = background(crop=True)(image, "a")
    assert abs(cut.shape[0] - 39) <= 2 and abs(cut.shape[1] - 39) <= 2


def test_the_same_whatever_runs_beside_it() -> None:
    images = [draw_disc(seed)[0] for seed in range(6)]
    step = background()
    alone = [step(image, "") for image in images]
    with ThreadPoolExecutor(6) as pool:
        assert all(map(np.array_equal, alone * 3, pool.map(lambda image: step(image, ""), images * 3)))


def test_a_flat_image_stays_and_grey_ones_are_cut_too() -> None:
    flat = np.full((20, 20, 3), 9, np.uint8)
    assert background()(flat, "a").shape == flat.shape
    image, disc = draw_disc()
    assert background()(image[:, :, :1], "a").shape == (80, 100, 1)


def test_a_users_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    image, disc = draw_disc()
    module = types.ModuleType("masks_of_a_user")
    monkeypatch.setitem(sys.modules, "masks_of_a_user", module)
    for mask in (disc, disc * np.uint8(255), disc.astype(np.float32), np.dstack([image, disc * np.uint8(255)])):
        module.find = lambda given, mask=mask: mask
        found = background(function="masks_of_a_user.find")(image, "a")
        assert np.array_equal(found[disc], image[disc]) and not found[~disc].any()
    module.find = lambda given: disc[:10]
    with pytest.raises(PluginError, match=r"returned bool \(10, 100\); wanted a mask of \(80, 100\)"):
        background(function="masks_of_a_user.find")(image, "a")
    with pytest.raises(PluginError, match="border 0.6"):
        background(border=0.6)
