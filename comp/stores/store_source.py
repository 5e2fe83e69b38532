"""Where the images of a store come from, and the form in which they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from comp.api import STACK, Read
from comp.decoding import Size
from comp.errors import ImageError
from comp.images import read_image, read_own, resize_image, to_channels
from comp.steps import NO_STEPS, Steps


@dataclass(frozen=True)
class StoreForm:
    """How images are kept.

    Attributes:
        size: (height, width) in pixels.
        fit: squash | pad | crop (comp.images.resize_image).
        channels: 1, 3, 4 (RGB and alpha), or what the dataset's reader gives.
    """

    size: Size
    fit: str = "squash"
    channels: int = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, self.channels)

    @property
    def bytes(self) -> int:
        """Of one image."""
        return self.size[0] * self.size[1] * self.channels


@dataclass(frozen=True)
class Source:
    """Where images come from, in the form in which they are kept. A stack's images lie one after another in the channels."""

    root: Path
    form: StoreForm
    read: Read | None
    steps: Steps = NO_STEPS

    def __call__(self, ref: str) -> np.ndarray:
        parts = ref.split(STACK)
        channels, rest = divmod(self.form.channels, len(parts))
        if rest or not channels:
            raise ImageError(f"a stack of {len(parts)} images, but image.channels is {self.form.channels}; wanted a multiple")
        images = [self.read_part(part, channels) for part in parts]
        return np.ascontiguousarray(images[0] if len(images) == 1 else np.concatenate(images, axis=2))

    def read_part(self, ref: str, channels: int) -> np.ndarray:
        """(height, width, channels) uint8; black where there is none."""
        form = self.form
        if not ref:
            return np.zeros((*form.size, channels), np.uint8)
        # A step wants the whole picture: a face in a JPEG of an eighth has an eighth of its pixels.
        size = None if self.steps else form.size
        given = None if self.steps else channels
        image = read_image(self.root / ref, size, given) if self.read is None else read_own(self.read, ref, size, given)
        return resize_image(to_channels(self.steps(image, ref), channels), form.size, form.fit)
