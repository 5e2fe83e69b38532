from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from PIL import Image
from timm.data.auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform

from comp.api import ImageSpec, PluginError
from comp.engine.augment import Augmenter
from comp.plugins.augment.policies import augmix, autoaugment, randaugment

IMAGE, GREY = ImageSpec((24, 32), (30, 40)), ImageSpec((24, 32), (30, 40), 1)
SETTINGS = {"translate_const": 10, "img_mean": (128, 128, 128)}
MAKE = {"autoaugment": autoaugment, "randaugment": randaugment, "augmix": augmix}
THEIRS = {
    "autoaugment": auto_augment_transform("original-mstd0", dict(SETTINGS)),
    "randaugment": rand_augment_transform("rand-m9-n2-mstd0.5-p0.5-inc1", dict(SETTINGS)),
    "augmix": augment_and_mix_transform("augmix-m3-w3", dict(SETTINGS)),
}


def noise(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", MAKE)
def test_it_is_timms_result_for_the_seed_that_was_drawn(name: str) -> None:
    for seed in range(12):
        ours = MAKE[name](IMAGE)
        ours.set_random_state(np.random.default_rng(0), random.Random(seed))
        changed = ours(image=noise())["image"]
        drawn = random.Random(seed)
        drawn.random()
        number = drawn.getrandbits(32)
        random.seed(number)
        np.random.seed(number)
        assert np.array_equal(changed, np.array(THEIRS[name](Image.fromarray(noise()))))


@pytest.mark.parametrize("name", MAKE)
def test_an_image_depends_on_its_keys_alone(name: str) -> None:
    """Whatever ran before, in whichever worker; and the global generators stay as they were."""
    first, other = (Augmenter([pickle.loads(pickle.dumps(MAKE[name](IMAGE)))], (24, 32), 3) for _ in range(2))
    states = random.getstate(), np.random.get_state()[1].tobytes()
    results = [first(noise(), 5, key, 0) for key in range(10)]
    np.random.seed(99)
    random.seed(99)
    again = [other(noise(), 5, key, 0) for key in reversed(range(10))]
    assert all(np.array_equal(one, two) for one, two in zip(results, reversed(again)))
    assert len({image.tobytes() for image in results}) > 5
    random.setstate(states[0])
    np.random.seed(0)
    before = random.getstate(), np.random.get_state()[1].tobytes()
    first(noise(), 6, 1, 0)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before


@pytest.mark.parametrize("name", MAKE)
def test_grey_images_keep_their_channel(name: str) -> None:
    augmenter = Augmenter([MAKE[name](GREY)], (24, 32), 1)
    results = [augmenter(noise(1), 0, key, 0) for key in range(20)]
    assert {image.shape for image in results} == {(24, 32, 1)} and len({image.tobytes() for image in results}) > 5


def test_p_is_the_share_that_is_changed() -> None:
    augmenter = Augmenter([augmix(IMAGE, p=0.25)], (24, 32), 3)
    changed = [not np.array_equal(noise(), augmenter(noise(), 0, key, 0)) for key in range(400)]
    assert 60 < sum(changed) < 140


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: randaugment(IMAGE, layers=0), "augment.layers is 0; wanted 1 to 15"),
        (lambda: randaugment(IMAGE, magnitude=11), "augment.magnitude is 11"),
        (lambda: augmix(IMAGE, depth=0), "augment.depth is 0"),
        (lambda: autoaugment(IMAGE, p=1.5), "augment.p is 1.5"),
        (lambda: autoaugment(ImageSpec((8, 8), (8, 8), 4)), "these have 4 channels"),
    ],
)
def test_what_is_refused(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make()
