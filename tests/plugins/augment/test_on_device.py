"""on_device against the same arithmetic worked out pixel by pixel in numpy, and against cv2 and torchvision where they agree."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as theirs

from comp.api import ImageSpec
from comp.errors import PluginError
from comp.plugins.augment.on_device import draw_boxes, on_device

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 1, (6, 3, 12, 10)).astype(np.float32)
DRAWN = GENERATOR.uniform(0, 1, (6, 14))
SPEC = ImageSpec((9, 7), (12, 10))
NOTHING: dict[str, Any] = {"flip": 0.0, "scale": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0}


def box_by_hand(drawn: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]) -> tuple[float, float, float, float]:
    area = scale[0] + drawn[0] * (scale[1] - scale[0])
    low, high = max(math.log(ratio[0]), math.log(area)), min(math.log(ratio[1]), math.log(1 / area))
    shape = math.exp(low + drawn[1] * max(0.0, high - low))
    width, height = min(1.0, math.sqrt(area * shape)), min(1.0, math.sqrt(area / shape))
    return drawn[2] * (1 - width), drawn[3] * (1 - height), width, height


def change_by_hand(image: np.ndarray, drawn: np.ndarray, **given: Any) -> np.ndarray:
    """One image (C, H, W), a pixel and a step at a time, in float64."""
    left, top, width, height = box_by_hand(drawn[2:6], given["scale"], given["ratio"])
    (rows, columns), (high, wide) = SPEC.size, image.shape[1:]
    seen = np.zeros((3, rows, columns))
    for row in range(rows):
        for column in range(columns):
            x = (left + width * (column + 0.5) / columns) * wide - 0.5
            y = (top + height * (row + 0.5) / rows) * high - 0.5
            x, y = min(max(x, 0), wide - 1), min(max(y, 0), high - 1)
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, wide - 1), min(y0 + 1, high - 1)
            upper = image[:, y0, x0] * (1 - x + x0) + image[:, y0, x1] * (x - x0)
            lower = image[:, y1, x0] * (1 - x + x0) + image[:, y1, x1] * (x - x0)
            seen[:, row, column] = upper * (1 - y + y0) + lower * (y - y0)
    if drawn[0] < given["flip"]:
        seen = seen[:, :, ::-1]
    if drawn[1] < given["vertical"]:
        seen = seen[:, ::-1]
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    factor = [1 + (2 * drawn[6 + at] - 1) * given[name] for at, name in enumerate(("brightness", "contrast", "saturation"))]
    seen = seen * factor[0]
    seen = (weights * seen).sum(axis=0).mean() * (1 - factor[1]) + seen * factor[1]
    seen = (weights * seen).sum(axis=0) * (1 - factor[2]) + seen * factor[2]
    seen = seen.clip(0, 1)
    if drawn[9] < given["erase"]:
        left, top, width, height = box_by_hand(drawn[10:14], given["area"], (0.3, 3.3))
        for row in range(rows):
            for column in range(columns):
                inside = left <= (column + 0.5) / columns < left + width and top <= (row + 0.5) / rows < top + height
                seen[:, row, column] *= not inside
    return seen


def change(images: np.ndarray, drawn: np.ndarray, size: tuple[int, int] = SPEC.size, **given: Any) -> np.ndarray:
    return on_device(ImageSpec(size, size, images.shape[1]), **given)(torch.from_numpy(images), drawn).numpy()


def test_it_is_the_arithmetic_by_hand_and_a_row_is_the_same_in_any_batch() -> None:
    given = {"flip": 0.5, "vertical": 0.5, "scale": (0.2, 0.9), "ratio": (0.6, 1.8), "brightness": 0.4, "contrast": 0.3}
    given |= {"saturation": 0.6, "erase": 0.6, "area": (0.1, 0.4)}
    found = change(IMAGES, DRAWN, **given)
    wanted = np.stack([change_by_hand(image, drawn, **given) for image, drawn in zip(IMAGES.astype(float), DRAWN, strict=True)])
    assert found.shape == (6, 3, 9, 7) and np.abs(found - wanted).max() < 2e-6
    touched = [(DRAWN[:, at] < share).sum() for at, share in ((0, 0.5), (1, 0.5), (9, 0.6))]
    assert all(0 < count < 6 for count in touched)  # both answers of each
    alone = np.concatenate([change(IMAGES[[at]], DRAWN[[at]], **given) for at in (4, 1)])
    assert np.abs(alone - found[[4, 1]]).max() < 1e-6


def test_without_a_crop_it_resizes_as_cv2_and_averages_what_is_shrunk_much() -> None:
    larger = change(IMAGES, DRAWN, (20, 15), **NOTHING)
    assert np.abs(larger[0].transpose(1, 2, 0) - cv2.resize(IMAGES[0].transpose(1, 2, 0), (15, 20))).max() < 1e-5
    assert np.abs(change(IMAGES, DRAWN, (12, 10), **NOTHING) - IMAGES).max() < 1e-6
    stripes = np.zeros((1, 1, 32, 32), np.float32)
    stripes[:, :, ::4] = 1  # a quarter of the rows: every fourth alone would be all or nothing
    assert np.allclose(change(stripes, DRAWN[:1], (8, 8), **NOTHING), 0.25)


def test_colour_is_torchvisions_where_nothing_is_cut_off() -> None:
    images = IMAGES * 0.5 + 0.2
    found = change(images, DRAWN, (12, 10), **NOTHING | {"brightness": 0.2, "contrast": 0.2}, saturation=0.2)
    for image, drawn, ours in zip(torch.from_numpy(images), DRAWN, found, strict=True):
        brightness, contrast, saturation = 1 + 0.2 * (2 * drawn[6:9] - 1)
        image = theirs.adjust_contrast(theirs.adjust_brightness(image, brightness), contrast)
        # Its shares of grey are 0.2989, 0.587 and 0.114.
        assert np.abs(ours - theirs.adjust_saturation(image, saturation).numpy()).max() < 2e-4


def test_boxes_lie_in_the_image_with_areas_drawn_evenly() -> None:
    drawn = np.random.default_rng(1).uniform(size=(20_000, 4))
    boxes = draw_boxes(drawn, (0.3, 1.0), (0.5, 2.0))
    left, top, width, height = boxes.T
    assert boxes.min() >= 0 and (left + width).max() <= 1 + 1e-12 and (top + height).max() <= 1 + 1e-12
    shares, _ = np.histogram(width * height, 7, (0.3, 1.0))
    assert abs(shares / 20_000 - 1 / 7).max() < 0.012  # five standard deviations
    shapes = width / height
    assert 0.5 <= shapes.min() < 0.55 and 1.9 < shapes.max() <= 2 and abs(np.log(shapes).mean()) < 0.02
    narrow = draw_boxes(drawn, (0.9, 0.9), (2.0, 3.0))  # which no image holds: as wide as it is
    assert np.allclose(narrow[:, 2], 1) and np.allclose(narrow[:, 3], math.sqrt(0.45))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flip": 1.5}, "augment.flip is 1.5; wanted 0 to 1"),
        ({"contrast": -0.1}, "augment.contrast is -0.1; wanted 0 to 1"),
        ({"scale": (0.0, 1.0)}, r"augment.scale is \[0.0, 1.0\]; wanted a least and a greatest number above 0, and at most 1"),
        ({"scale": (0.5, 1.5)}, "augment.scale is .* and at most 1"),
        ({"area": (0.4, 0.2)}, "augment.area is"),
        ({"ratio": (0.0, 2.0)}, r"augment.ratio is \[0.0, 2.0\]; wanted a least and a greatest number above 0$"),
    ],
)
def test_what_is_out_of_range_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        on_device(SPEC, **given)


def test_grey_images_have_no_saturation() -> None:
    with pytest.raises(PluginError, match="augment.saturation is of colours; these images have 1 channels"):
        on_device(ImageSpec((8, 8), (8, 8), 1), saturation=0.1)
    grey = IMAGES[:, :1] * 0.5 + 0.2
    found = change(grey, DRAWN, (12, 10), **NOTHING | {"contrast": 0.5})
    factor = (1 + 0.5 * (2 * DRAWN[:, 7] - 1))[:, None, None, None]
    assert np.abs(found - (grey * factor + grey.mean(axis=(1, 2, 3), keepdims=True) * (1 - factor)).clip(0, 1)).max() < 1e-6
