"""The albumentations family and the presets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from comp.api import ImageSpec, PluginError
from comp.engine.augment import Augmenter
from comp.plugins.augment.albumentations import albumentations, list_transforms, read_signature
from comp.plugins.augment.presets import heavy, light, medium

IMAGE = ImageSpec((24, 32), (30, 40))
PRESETS = {"light": light, "medium": medium, "heavy": heavy}


def augment(transforms: list[Any], image: np.ndarray, key: int = 0, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    return Augmenter(transforms, size, image.shape[2])(image, 0, key, 0)


def noise(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 40, channels), dtype=np.uint8)


def test_the_familys_names_are_transforms_of_images() -> None:
    names = list_transforms()
    assert {"HorizontalFlip", "RandomResizedCrop", "CoarseDropout", "OneOf"} <= set(names) and names == sorted(names)
    assert not {"Normalize", "ToTensorV2", "BasicTransform", "Pad3D", "Compose", "BBoxSafeRandomCrop"} & set(names)


def test_a_signature_is_the_librarys() -> None:
    assert list(read_signature("HorizontalFlip", {}).parameters) == ["p"]
    crop = read_signature("RandomResizedCrop", {"size": 384, "scale": [0.5, 1.0]}).parameters
    assert "strict" not in crop and crop["scale"].default == (0.08, 1.0)
    crop_size = read_signature("RandomCrop", {}).parameters["height"]
    assert crop_size.default is None  # the training size
    assert read_signature("HorizontalFlipp", {}) is None
    assert "prob" not in read_signature("HorizontalFlip", {"prob": 1}).parameters  # and no error: the caller suggests a name


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("HorizontalFlip", {"p": 2}, "p: Input should be less than or equal to 1"),
        ("RandomResizedCrop", {"scale": [1.0, 0.5]}, "scale: First value should be less than the second"),
        ("RandomSizedCrop", {}, "min_max_height: Field required"),
        ("Normalize", {}, "stay uint8 up to the device"),
        ("MaskDropout", {}, "needs mask"),
        ("OneOf", {}, "transforms: wanted a list"),
        ("OneOf", {"transforms": ["Blur"]}, "'Blur' is no mapping"),
        ("OneOf", {"transforms": [{"use": "A.Blur", "blur": 3}]}, "A.Blur: .*'blur'"),
    ],
)
def test_arguments_that_the_library_refuses_are_faults(name: str, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_signature(name, arguments)
    with pytest.raises(PluginError, match=f"A.{name}: "):
        albumentations(name, IMAGE, **arguments)


def test_every_transform_takes_no_unknown_argument() -> None:
    for name in list_transforms():
        with pytest.raises(PluginError):
            albumentations(name, IMAGE, surely_not_a_parameter=1)


def test_sizes_are_filled_in_from_the_image() -> None:
    assert albumentations("RandomResizedCrop", IMAGE).size == (24, 32)
    assert albumentations("RandomResizedCrop", IMAGE, size=20).size == (20, 20)
    assert albumentations("RandomResizedCrop", IMAGE, size=[20, 21]).size == (20, 21)
    crop = albumentations("RandomCrop", IMAGE, width=9)
    assert (crop.height, crop.width) == (24, 9)


def test_choices_nest() -> None:
    parts = [{"use": "A.HorizontalFlip", "p": 1.0}, {"use": "A.VerticalFlip", "p": 1.0}]
    choice = albumentations("OneOf", IMAGE, transforms=parts, p=1.0)
    image = noise()
    found = {augment([choice], image, key, (30, 40)).tobytes() for key in range(40)}
    assert found == {np.ascontiguousarray(image[:, ::-1]).tobytes(), np.ascontiguousarray(image[::-1]).tobytes()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_end_in_the_training_size_and_vary(name: str, channels: int) -> None:
    transforms = PRESETS[name](ImageSpec((24, 32), (30, 40), channels))
    results = [augment(transforms, noise(channels), key) for key in range(12)]
    assert {(image.shape, image.dtype.name) for image in results} == {((24, 32, channels), "uint8")}
    assert len({image.tobytes() for image in results}) == 12


@pytest.mark.parametrize("name", PRESETS)
def test_presets_mirror_only_where_flip_says_so(name: str) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 40).astype(np.uint8)[None, :, None], (30, 40, 3)).copy()

    def count_mirrored(flip: bool) -> int:
        others = {} if name == "light" else {"rotate": 0.0, "holes": 0.0}
        transforms = PRESETS[name](IMAGE, flip=flip, colour=0.0, **others)
        results = [augment(transforms, ramp, key).astype(int) for key in range(60)]
        return sum(image[:, :16].mean() > image[:, 16:].mean() for image in results)

    assert count_mirrored(False) == 0 and 15 < count_mirrored(True) < 45


def test_a_crop_keeps_the_share_and_the_proportions_it_was_given() -> None:
    (crop,) = light(ImageSpec((20, 80), (30, 120)), flip=False, colour=0.0, crop=0.6)
    for _ in range(200):
        x1, y1, x2, y2 = crop.get_params_dependent_on_data({"shape": (30, 120, 3)}, {})["crop_coords"]
        assert 0.55 < (x2 - x1) * (y2 - y1) / 3600 <= 1  # rounded to whole pixels
        assert 0.7 < (x2 - x1) / (y2 - y1) / 4 < 1.45
