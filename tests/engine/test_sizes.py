"""Sizes: what `auto` means for prediction, channels and statistics, and what the store must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from comp.engine.sizes import (
    average_side,
    describe_margin,
    largest_seen,
    plan_image,
    plan_stage_image,
    plan_store_size,
    trains_with_crop,
    without_weights,
)
from comp.errors import PluginError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

ANY_SIZE = "model={use: timm, arch: resnet10t, pretrained: false}"
ONE_SIZE = "model={use: timm, arch: vit_tiny_patch16_224, pretrained: false}"


@pytest.mark.parametrize(
    ("sets", "predict"),
    [
        (("augment=[{use: light}]", ANY_SIZE), (80, 120)),
        (("augment=[{use: A.RandomResizedCrop, size: [64, 96]}]", ANY_SIZE), (80, 120)),
        (("augment=[{use: A.CenterCrop, height: 64, width: 96}]", ANY_SIZE), (64, 96)),
        (("augment=[{use: A.HorizontalFlip}]", ANY_SIZE), (64, 96)),
        (("augment=[{use: light, crop: 1.0}]", ANY_SIZE), (64, 96)),
        (("augment=[]", ANY_SIZE), (64, 96)),
        (("augment=[{use: light}]", ONE_SIZE), (64, 96)),
        (("augment=[{use: light}]", "image.predict_size=72", ANY_SIZE), (72, 72)),
        (("augment=[]", "image.predict_size=[72, 80]", ANY_SIZE), (72, 80)),
    ],
)
def test_prediction_is_larger_where_training_crops_and_the_model_takes_it(desk: Desk, sets, predict) -> None:
    case = desk.case(*sets, "image.size=[64, 96]")
    assert (case.image.size, case.image.predict_size) == ((64, 96), predict)


def test_the_last_stage_decides_and_each_stage_has_its_own_size(desk: Desk) -> None:
    stages = "stages=[{name: a, epochs: 1, image: {size: 160}}, {name: b, epochs: 1, image: {size: 64}, augment: [{use: light}]}]"
    case = desk.case(stages, ANY_SIZE, "augment=[]")
    assert (case.image.size, case.image.predict_size) == ((64, 64), (80, 80))
    first = plan_stage_image(case.manifest.stages[0]["image"], case.image)
    assert (first.size, first.predict_size) == ((160, 160), (80, 80))
    assert plan_store_size(case.manifest, case.image) == (160, 160)


def test_the_store_keeps_what_prediction_sees(desk: Desk) -> None:
    case = desk.case("augment=[{use: light}]", ANY_SIZE, "image.size=[64, 48]")
    assert plan_store_size(case.manifest, case.image) == (80, 60)


@pytest.mark.parametrize(
    ("augment", "stored"),
    [
        ("{use: A.RandomResizedCrop}", (90, 136)),  # 8% to 100% of the area: 0.708 of a side on average
        ("{use: A.RandomResizedCrop, scale: [0.25, 0.25]}", (128, 192)),
        ("{use: A.RandomResizedCrop, scale: [0.6, 1.0]}", (64, 96)),
        ("{use: heavy}", (79, 118)),
        ("{use: light}", (64, 96)),
        ("{use: A.RandomCrop}", (73, 110)),
        ("{use: A.PadIfNeeded, min_height: 80, min_width: 112}, {use: A.RandomCrop}", (64, 96)),
        ("{use: A.Resize, height: 120, width: 120}, {use: A.RandomCrop}", (80, 120)),
        ("{use: A.OneOf, transforms: [{use: A.HorizontalFlip}, {use: A.RandomResizedCrop}]}", (90, 136)),
        ("{use: A.HorizontalFlip}", (64, 96)),
    ],
)
def test_the_store_keeps_what_the_average_crop_is_cut_from(desk: Desk, augment, stored) -> None:
    case = desk.case(f"augment=[{augment}]", ONE_SIZE, "image.size=[64, 96]")
    assert plan_store_size(case.manifest, case.image) == stored
    said = describe_margin(stored, largest_seen(case.manifest, case.image))
    assert (f"stored at {stored[0]} x {stored[1]} px" in said) == (stored != (64, 96))
    assert "crop" not in said  # it may be A.Resize that wants the margin


def test_the_average_side_of_crops_is_that_of_draws() -> None:
    drawn = np.sqrt(np.random.default_rng(0).uniform(0.08, 1.0, 1_000_000)).mean()
    assert average_side(0.08, 1.0) == pytest.approx(drawn, abs=1e-3)
    assert average_side(0.25, 0.25) == 0.5


def test_channels_are_three_for_pretrained_weights_else_the_images(desk: Desk) -> None:
    def channels(*sets: str) -> int:
        manifest = desk.case(*sets, "image.predict_size=64", "image.size=64").manifest
        return plan_image(manifest, desk.case().task, 1).channels

    assert channels("model={use: timm, arch: resnet10t, pretrained: true}") == 3
    assert channels("model={use: timm, arch: resnet10t, pretrained: weights.pth}") == 3
    assert channels(ANY_SIZE) == 1 and channels() == 1
    assert channels("model={use: timm, arch: resnet10t, pretrained: true}", "image.channels=1") == 1


def test_statistics_are_given_once_or_per_channel(desk: Desk) -> None:
    def image(*sets: str):
        return plan_image(desk.case(*sets).manifest, desk.case().task, 3)

    assert (image().mean, image().std) == (None, None)
    assert image("image.mean=0.5", "image.std=[0.1, 0.2, 0.3]").mean == (0.5, 0.5, 0.5)
    assert image("image.mean=0.5", "image.std=[0.1, 0.2, 0.3]").std == (0.1, 0.2, 0.3)
    assert image("image.mean=0").mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("key", "value"), [("mean", "[0.5, 0.5]"), ("std", "[0.1]")])
def test_statistics_for_another_number_of_channels_are_named(desk: Desk, key, value) -> None:
    with pytest.raises(PluginError, match=rf"image.{key} has {value.count(',') + 1} numbers; the images have 3 channels"):
        plan_image(desk.case(f"image.{key}={value}").manifest, desk.case().task, 3)


def test_a_standard_deviation_of_0_is_named(desk: Desk) -> None:
    with pytest.raises(PluginError, match="image.std is 0.0; wanted numbers above 0"):
        plan_image(desk.case("image.std=0.0").manifest, desk.case().task, 3)


def test_which_augmentations_crop() -> None:
    assert trains_with_crop([{"use": "A.HorizontalFlip"}, {"use": "medium"}])
    assert trains_with_crop([{"use": "A.CropNonEmptyMaskIfExists"}]) and not trains_with_crop([{"use": "A.CenterCrop"}])


def test_a_restored_model_looks_for_no_weights() -> None:
    model = {"use": "timm", "arch": "x", "pretrained": "a.pth"}
    assert without_weights(model) == {"use": "timm", "arch": "x", "pretrained": False}
    assert without_weights({"use": "cnn"}) == {"use": "cnn"}
    nested = {"use": "fusion", "backbone": {"use": "multi_image", "views": 2, "backbone": model}}
    assert without_weights(nested)["backbone"]["backbone"] == {"use": "timm", "arch": "x", "pretrained": False}


def test_the_model_inside_another_says_which_sizes_it_takes(desk: Desk) -> None:
    for backbone, predict in ((ANY_SIZE, (80, 80)), (ONE_SIZE, (64, 64))):
        inner = backbone.removeprefix("model=")
        case = desk.case(f"model={{use: fusion, backbone: {inner}}}", "augment=[{use: light}]", "image.size=64")
        assert case.image.predict_size == predict
