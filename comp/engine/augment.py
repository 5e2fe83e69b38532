"""Augmentation: what is done to one training image, drawn from (epoch key, row key, n-th time in the epoch) and nothing else.

Building the transforms is the plugins' business, feeding images through them comp.engine.data's.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comp.api import ImageSpec
from comp.catalog import Catalog
from comp.errors import PluginError
from comp.images import Size, resize_image


@dataclass(frozen=True)
class AugmentPlan:
    """How to build the transforms, as plain data that a worker process can be sent.

    Attributes:
        specs: the resolved mappings of `augment`, each with its `use`.
        image: what the plugins are supplied with.
    """

    catalog: Catalog
    specs: tuple[Mapping[str, Any], ...]
    image: ImageSpec

    def __call__(self) -> list[Any]:
        # A plugin that imports albumentations must not look up its newest version on the network.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        return flatten([self.catalog.build("augment", spec, image=self.image) for spec in self.specs])


class Augmenter:
    """Applies transforms one after another, reseeded for each image.

    That is what albumentations' Compose does, less its checks of shapes and targets on each call (a fifth of the time of a
    crop and a flip). The generators are one Philox and one Mersenne Twister, re-keyed in place: 10 us against 70 to 235 for
    set_random_seed.
    """

    def __init__(self, transforms: Sequence[Any], size: Size, channels: int) -> None:
        self.size, self.channels = size, channels
        self._bits = np.random.Philox(key=0)
        self._state = self._bits.state
        self._python = random.Random(0)
        self.transforms = flatten(transforms)
        generator = np.random.Generator(self._bits)
        for transform in self.transforms:
            if hasattr(transform, "set_random_state"):
                transform.set_random_state(generator, self._python)

    def __call__(self, image: np.ndarray, epoch_key: int, row_key: int, repeat: int) -> np.ndarray:
        """(H, W, C) uint8 -> (height, width, C) uint8."""
        self.reseed(epoch_key, row_key, repeat)
        image = image.copy()  # the store's map is read-only, and some transforms write in place
        for transform in self.transforms:
            image = transform(image=image)["image"]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (self.channels,):
            raise PluginError(self._describe(image))
        return image if image.shape[:2] == self.size else resize_image(image, self.size)

    def reseed(self, epoch_key: int, row_key: int, repeat: int) -> None:
        """Philox is keyed by (row, epoch) and starts at the counter of the repetition; its first draw seeds Python's."""
        words = self._state["state"]
        words["key"][:] = (row_key, epoch_key)
        words["counter"][:] = (0, 0, 0, repeat)
        self._bits.state = self._state
        self._python.seed(int(self._bits.random_raw()))

    def _describe(self, image: Any) -> str:
        given = f"{image.dtype} of shape {tuple(image.shape)}" if hasattr(image, "dtype") else type(image).__name__
        names = ", ".join(type(transform).__name__ for transform in self.transforms)
        return (
            f"augment ({names}) made {given} of an image; wanted uint8 (H, W, {self.channels}). Leave out Normalize, ToFloat and "
            "ToTensorV2: the kit normalises on the device."
        )


def flatten(transforms: Any) -> list[Any]:
    """Presets return lists: one list of transforms."""
    if isinstance(transforms, (list, tuple)):
        return [transform for part in transforms for transform in flatten(part)]
    return [transforms]
