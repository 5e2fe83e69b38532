"""Image sizes: what training sees, what prediction sees, and what the store must therefore keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from comp.api import ImageSpec, Task
from comp.errors import PluginError
from comp.manifest import Manifest

PREDICT_LARGER = 1.25
"""Random crops make objects look larger in training than in prediction (Touvron et al. 2019): with crops in training,
held-out and test images are this many times as large. On pacs_art 0.882 became 0.913."""

PRETRAINED_CHANNELS = 3
"""Pretrained weights were made for colours; a grey image becomes three equal ones."""

PRESETS_THAT_CROP = ("light", "medium", "heavy")

ON_DEVICE = "on_device"

LEAST_MARGIN = 1.14
"""Of the stored size over all that see the images: less than this is not worth resizing each image for each prediction."""

FIXED_CROP = 256 / 224
"""How much larger an image is than the pieces of the training size that are cut out of it, by old custom."""

ALBUMENTATIONS_SCALE = (0.08, 1.0)
"""What A.RandomResizedCrop draws the share of the area from, unless told."""


def plan_image(manifest: Manifest, task: Task, channels: int) -> ImageSpec:
    """The pictures that the last stage trains on and that prediction sees, with every `auto` settled.

    Builds the backbone once, without weights, where its willingness to take larger images decides `predict_size: auto`.

    Raises:
        PluginError: mean or std do not fit the channels; the backbone cannot be built.
    """
    stage = manifest.stages[-1]
    spec = stage["image"]
    size = as_pair(spec["size"])
    count = spec["channels"] if spec["channels"] != "auto" else fit_channels(manifest, channels)
    image = ImageSpec(size, size, count, as_statistics("mean", spec["mean"], count), as_statistics("std", spec["std"], count))
    if spec["predict_size"] != "auto":
        return replace(image, predict_size=as_pair(spec["predict_size"]))
    if not trains_with_crop(stage["augment"]) or not takes_any_size(manifest, task, image):
        return image
    return replace(image, predict_size=(round(size[0] * PREDICT_LARGER), round(size[1] * PREDICT_LARGER)))


def fit_channels(manifest: Manifest, channels: int) -> int:
    """`image.channels: auto`: what the images have; a single grey one in colours where the weights were made for them."""
    return PRETRAINED_CHANNELS if channels == 1 and is_pretrained(manifest) else channels


def plan_stage_image(spec: Mapping[str, Any], image: ImageSpec) -> ImageSpec:
    """A stage's own training size (progressive sizes) under the fold's image."""
    return replace(image, size=as_pair(spec["size"]))


def plan_store_size(manifest: Manifest, image: ImageSpec) -> tuple[int, int]:
    """The size in which images are stored: what prediction sees, or more where a stage trains larger, or crops want more."""
    seen = largest_seen(manifest, image)
    wanted = [widen(as_pair(stage["image"]["size"]), measure_margin(stage)) for stage in manifest.stages]
    worth = [pair for pair in wanted if min(pair[0] / seen[0], pair[1] / seen[1]) >= LEAST_MARGIN]
    return max(height for height, _ in [seen, *worth]), max(width for _, width in [seen, *worth])


def describe_margin(stored: tuple[int, int], seen: tuple[int, int]) -> str:
    """Where images are stored larger than anything sees them: that they are, and why; else nothing."""
    if stored == seen:
        return ""
    return (
        f"images are stored at {stored[0]} x {stored[1]} px, though nothing sees more than {seen[0]} x {seen[1]}: so what "
        "augmentation cuts out of them or resizes need not, on average, be enlarged"
    )


def largest_seen(manifest: Manifest, image: ImageSpec) -> tuple[int, int]:
    """The size in which prediction sees images, or more where a stage trains larger."""
    sizes = [image.predict_size, *(as_pair(stage["image"]["size"]) for stage in manifest.stages)]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def measure_margin(stage: Mapping[str, Any]) -> float:
    """How many times as large as its training size a stage wants images, so that the average random crop has that size."""
    size_px, specs = max(as_pair(stage["image"]["size"])), stage["augment"]
    padded = any("Pad" in spec["use"] for spec in specs)  # what a fixed crop then moves about in
    return max((margin_of(spec, size_px) for spec in specs if not padded or spec["use"] != "A.RandomCrop"), default=1.0)


def margin_of(spec: Mapping[str, Any], size_px: int) -> float:
    name = spec["use"]
    if parts := spec.get("transforms"):
        return max(margin_of(part, size_px) for part in parts)
    if name in PRESETS_THAT_CROP:
        return 1 / average_side(spec["crop"], 1.0)
    if name == ON_DEVICE:
        return 1 / average_side(*spec["scale"])
    if name == "A.RandomResizedCrop":
        return 1 / average_side(*(spec.get("scale") or ALBUMENTATIONS_SCALE))
    if name == "A.RandomCrop":
        return FIXED_CROP if max(spec.get("height") or size_px, spec.get("width") or size_px) == size_px else 1.0
    if name == "A.Resize":
        return max(1.0, (spec.get("height") or size_px) / size_px, (spec.get("width") or size_px) / size_px)
    return 1.0


def average_side(least: float, most: float) -> float:
    """The mean side of crops whose areas are drawn evenly between two shares of the image."""
    return math.sqrt(least) if least == most else 2 / 3 * (most**1.5 - least**1.5) / (most - least)


def widen(size: tuple[int, int], margin: float) -> tuple[int, int]:
    return round(size[0] * margin), round(size[1] * margin)


def is_pretrained(manifest: Manifest) -> bool:
    return manifest.values["model"].get("pretrained", False) is not False


def as_pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def as_statistics(key: str, value: Any, channels: int) -> tuple[float, ...] | None:
    """`image.mean` or `image.std`, a number for each channel; None for `auto`."""
    if value == "auto":
        return None
    numbers = (float(value),) * channels if isinstance(value, (int, float)) else tuple(float(item) for item in value)
    if len(numbers) != channels:
        raise PluginError(
            f"image.{key} has {len(numbers)} numbers; the images have {channels} channels: give one for each, or a single one"
        )
    if key == "std" and min(numbers) <= 0:
        raise PluginError(f"image.std is {min(numbers)}; wanted numbers above 0, since images are divided by it")
    return numbers


def trains_with_crop(augment: Sequence[Mapping[str, Any]]) -> bool:
    """Whether objects look larger in training: a random crop, or a preset whose crop is not the whole image."""

    def crops(name: str, spec: Mapping[str, Any]) -> bool:
        if name in PRESETS_THAT_CROP:
            return spec.get("crop") != 1
        return list(spec["scale"]) != [1, 1] if name == ON_DEVICE else "Crop" in name and "CenterCrop" not in name

    return any(crops(spec["use"], spec) for spec in augment)


def leaves_training_size(augment: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what is done in the loader makes images of the training size, so that nothing is left to cut on the device."""
    return any(name in PRESETS_THAT_CROP or "Crop" in name or "Resize" in name for spec in augment for name in names_in(spec))


def names_in(spec: Mapping[str, Any]) -> list[str]:
    return [spec["use"], *(name for part in spec.get("transforms") or () for name in names_in(part))]


def takes_any_size(manifest: Manifest, task: Task, image: ImageSpec) -> bool:
    model = without_weights(manifest.values["model"])
    # The columns' number changes nothing about sizes.
    return bool(manifest.catalog.build("model", model, task=task, image=image, table_width=1).any_size)


def without_weights(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model's mapping for when stored weights are to be loaded into it: pretrained ones are not needed, nor those inside."""
    inner = {"backbone": without_weights(model["backbone"])} if isinstance(model.get("backbone"), Mapping) else {}
    return {**model, **inner, **({"pretrained": False} if "pretrained" in model else {})}
