"""Thumbnails, and the words below them."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from comp.api import Target, Task
from comp.pictures import make_grid, make_thumbnail, name_answer, name_mixture, name_truth, spread

ANIMAL = Target("animal", "multiclass", ("cat", "dog"), ("animal",))
LABELS = Target("labels", "multilabel", ("a", "b", "c", "d", "e"), ("labels",), " ")
AGE = Target("age", "regression", (), ("age",))


def decode(picture: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((300, 200, 3), (96, 64)), ((8, 8, 1), (96, 96)), ((40, 30, 3), (80, 60)), ((96, 50, 1), (96, 50)), ((2000, 3, 1), (96, 1))],
)
def test_no_side_is_longer_than_96_px(shape, size) -> None:
    assert decode(make_thumbnail(np.zeros(shape, np.uint8))).shape[:2] == size


@pytest.mark.parametrize("channels", [3, 4, 6])
def test_the_first_three_channels_are_red_green_and_blue(channels: int) -> None:
    image = np.zeros((16, 16, channels), np.uint8)
    image[:, :, 0], image[:, :, 1], image[:, :, 3:] = 250, 100, 77
    blue, green, red = decode(make_thumbnail(image))[48, 48]
    assert abs(int(red) - 250) < 6 and abs(int(green) - 100) < 6 and blue < 6


@pytest.mark.parametrize("channels", [1, 2])
def test_of_one_or_two_channels_the_first_is_shown_grey(channels: int) -> None:
    image = np.full((16, 16, channels), 10, np.uint8)
    image[:, :, 0] = 180
    assert abs(int(decode(make_thumbnail(image))[48, 48]) - 180) < 4


def test_spread_has_both_ends_and_each_once() -> None:
    assert spread(5).tolist() == [0, 1, 2, 3, 4] and spread(0).tolist() == []
    assert spread(100, 4).tolist() == [0, 33, 66, 99] and len(spread(25)) == 24


def test_what_is_true() -> None:
    assert name_truth(ANIMAL, np.int64(1)) == "dog" and name_truth(AGE, np.float32(3.14159)) == "3.142"
    assert name_truth(LABELS, np.array([1, 0, 1, 1, 1])) == "a, c, d and 1 more" and name_truth(LABELS, np.zeros(5)) == "none"
    assert name_truth(ANIMAL, -1) == name_truth(AGE, None) == "not labelled"


def test_what_is_predicted() -> None:
    assert name_answer(ANIMAL, np.array([0.126, 0.874])) == "dog (87%)" and name_answer(AGE, np.array([20.0])) == "20"
    assert name_answer(LABELS, np.array([0.5, 0.1, 0.9, 0.0, 0.2])) == "c (90%), a (50%)"
    assert name_answer(LABELS, np.array([0.3, 0.4, 0, 0, 0])) == "none; first b (40%)"


def test_a_mixed_picture_bears_both_labels() -> None:
    task = Task((ANIMAL, AGE))
    own, partner = {"animal": 0, "age": 3.0}, {"animal": 1, "age": 5.0}
    assert name_mixture(task, own, None, 1.0) == ["animal: cat", "age: 3"]
    assert name_mixture(task, own, partner, 0.7) == ["animal: cat (70%)", "age: 3 (70%)", "animal: dog (30%)", "age: 5 (30%)"]
    assert name_mixture(task, own, partner, 1.0) == ["animal: cat", "age: 3"]


def test_a_grid_says_which_images_are_missing() -> None:
    grid = make_grid(lambda what, ids: [np.zeros((4, 4, 1), np.uint8), "b.png: no file"], "test", ["a", "b"], [["x"], ["y"]], 9)
    assert [bool(picture.jpeg) for picture in grid.pictures] == [True, False] and grid.of == 9
    assert grid.pictures[1].lines == ("b", "y") and grid.missing == "1 of these 2 images cannot be shown: b.png: no file"
