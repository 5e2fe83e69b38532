"""Applying transforms: what albumentations would compute, drawn from the image's key alone."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A

from comp.api import ImageSpec
from comp.catalog import build_catalog
from comp.engine.augment import Augmenter, AugmentPlan, flatten
from comp.errors import PluginError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def make_transforms() -> list[Any]:
    return [
        A.RandomResizedCrop(size=(24, 32), scale=(0.5, 1.0)),
        A.HorizontalFlip(p=0.5),
        A.OneOf([A.GaussianBlur(p=1.0), A.GaussNoise(p=1.0)], p=0.7),
        A.CoarseDropout(p=0.5, fill="random"),
        A.RandomBrightnessContrast(p=0.5),
    ]


def test_it_computes_what_compose_computes_from_the_same_state() -> None:
    augment = Augmenter(make_transforms(), (24, 32), 3)
    compose = A.Compose(make_transforms())
    for key in range(20):
        bits = np.random.Philox(key=key + (9 << 64), counter=np.array([0, 0, 0, 2], np.uint64))
        python = random.Random(int(bits.random_raw()))
        compose.set_random_state(np.random.Generator(bits), python)
        wanted = compose(image=IMAGE, force_apply=True)["image"]  # force_apply: Compose draws for its own p otherwise
        assert np.array_equal(augment(IMAGE, 9, key, 2), wanted)


def test_a_result_depends_on_its_key_and_on_nothing_before() -> None:
    augment = Augmenter(make_transforms(), (24, 32), 3)
    keys = [(1, 2, 0), (1, 2, 1), (1, 3, 0), (2, 2, 0), (2**64 - 1, 2**64 - 1, 0)]
    first = [augment(IMAGE, *key) for key in keys]
    again = [Augmenter(make_transforms(), (24, 32), 3)(IMAGE, *key) for key in reversed(keys)][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(first, again))
    assert len({image.tobytes() for image in first}) == len(keys)


def test_flips_come_half_of_the_time() -> None:
    augment = Augmenter([A.HorizontalFlip(p=0.5)], (40, 50), 3)
    flipped = sum(np.array_equal(augment(IMAGE, 0, key, 0), IMAGE[:, ::-1]) for key in range(1000))
    assert abs(flipped - 500) < 80  # five standard deviations


def test_another_size_is_resized_and_the_image_stays_as_it_was() -> None:
    def paint(*, image: np.ndarray) -> dict[str, Any]:
        image[:] = 9
        return {"image": image}

    before = IMAGE.copy()
    before.flags.writeable = False
    result = Augmenter([paint], (20, 20), 3)(before, 0, 0, 0)
    assert result.shape == (20, 20, 3) and (result == 9).all() and np.array_equal(before, IMAGE)


@pytest.mark.parametrize("transform", [A.Normalize, A.ToFloat, lambda: A.Lambda(image=lambda image, **_: image[:, :, :2])])
def test_what_is_no_longer_an_image_of_bytes_is_an_error(transform: Callable[[], Any]) -> None:
    with pytest.raises(PluginError, match=r"wanted uint8 \(H, W, 3\)"):
        Augmenter([transform()], (40, 50), 3)(IMAGE, 0, 0, 0)


def test_presets_within_lists_are_flattened() -> None:
    assert flatten([1, [2, (3,)], []]) == [1, 2, 3]


def test_a_plan_is_plain_data_that_builds_the_same_transforms_elsewhere() -> None:
    specs = ({"use": "A.RandomResizedCrop", "scale": [0.5, 1.0]}, {"use": "A.HorizontalFlip", "p": 0.5})
    plan = AugmentPlan(build_catalog(None), specs, ImageSpec((24, 24), (30, 30)))
    built, elsewhere = plan(), pickle.loads(pickle.dumps(plan))()
    assert [type(transform).__name__ for transform in elsewhere] == ["RandomResizedCrop", "HorizontalFlip"]
    assert built[0].size == elsewhere[0].size == (24, 24) and elsewhere[0].scale == (0.5, 1.0)
