from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.sampler.pk import pk

TASK = Task((Target("label", "multiclass", tuple("abcdefg"), ("label",)),))
LABELS = np.repeat(np.arange(7), [40, 20, 10, 8, 6, 3, 1])


def draw(labels: np.ndarray, seed: int = 0, classes: int = 3, images: int = 4) -> np.ndarray:
    sampler = pk(TASK, {"label": labels}, classes * images, classes=classes, images=images)
    return sampler(np.random.default_rng(seed)).reshape(-1, classes, images)


@pytest.mark.parametrize("seed", range(5))
def test_every_batch_has_p_classes_with_k_images_each(seed) -> None:
    batches = draw(LABELS, seed)
    assert batches.shape == (88 // 12, 3, 4)
    for batch in LABELS[batches]:
        assert (batch == batch[:, :1]).all() and len(set(batch[:, 0])) == 3


def test_classes_take_turns() -> None:
    # 28 batches of 3 of 7 classes: 84 places, twelve for each class.
    labels = np.repeat(np.arange(7), 48)
    chosen = labels[draw(labels)][:, :, 0]
    assert chosen.shape == (28, 3) and np.bincount(chosen.reshape(-1)).tolist() == [12] * 7


def test_images_of_a_class_repeat_only_when_all_were_shown() -> None:
    batches = draw(LABELS)
    for rows in batches.reshape(-1, 4):
        assert len(set(rows)) == min(4, np.bincount(LABELS)[LABELS[rows[0]]])
    shown = np.bincount(batches.reshape(-1), minlength=88)
    for label in range(7):
        assert np.ptp(shown[LABELS == label]) <= 1


def test_the_generator_decides_and_the_length_does_not_change() -> None:
    first, again, other = draw(LABELS, 1), draw(LABELS, 1), draw(LABELS, 2)
    assert np.array_equal(first, again) and first.shape == other.shape and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 8, "images": 4}, "8 x 4; wanted .* 16"),
        ({"classes": -4, "images": -4}, "-4 x -4"),
        ({"classes": 8, "images": 2}, "sampler.classes is 8, but the fold's training rows have 7 classes"),
    ],
)
def test_what_it_refuses(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        pk(TASK, {"label": LABELS}, 16, **arguments)
