"""Recipe: how the batches of one stage are made, as plain data that a worker process can be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from comp.engine.augment import Augmenter
from comp.images import Size, resize_image
from comp.stores.stored import ImageStore

Chunk = tuple[np.ndarray, np.ndarray, int]
"""One batch to be made: rows (B,) int64, how often each came before in the epoch (B,), and the epoch's key."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (B, H, W, C) uint8, and their rows (B,) int64."""

BuildAugment = Callable[[], Sequence[Any]]
"""Builds the transforms (comp.engine.augment.AugmentPlan). It is pickled to workers, so it holds plain data, not transforms."""


@dataclass(eq=False)
class Recipe:
    """The store's path, the rows, and how to build the transforms; whoever makes batches opens and builds these for itself.

    Attributes:
        store: the images.
        positions: (R,) int64, each training row's position among the references that the store was opened with.
        row_keys: (R,) uint64 (comp.engine.randomness.row_keys).
        build_augment: None for no augmentation.
        size: (height, width) of the batches; what the transforms leave in another size is resized.
    """

    store: ImageStore
    positions: np.ndarray
    row_keys: np.ndarray
    build_augment: BuildAugment | None
    size: Size
    _augmenter: Augmenter | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return (*self.size, self.store.form.channels)

    @property
    def is_plain(self) -> bool:
        """Whether batches hold the store's pixels as they are."""
        return self.build_augment is None and self.size == self.store.form.size

    def make(self, chunk: Chunk) -> Batch:
        """One batch, in memory of its own."""
        rows = chunk[0]
        if self.is_plain:
            return torch.from_numpy(self.store.take(self.positions[rows])), torch.from_numpy(rows)
        images = np.empty((len(rows), *self.shape), np.uint8)
        self.fill(images, chunk)
        return torch.from_numpy(images), torch.from_numpy(rows)

    def fill(self, images: np.ndarray, chunk: Chunk) -> None:
        """Write the images of one batch into (B, H, W, C) uint8."""
        rows, repeats, epoch_key = chunk
        if self.is_plain:
            images[:] = self.store.take(self.positions[rows])
            return
        pictures = self.store.pictures(self.positions[rows])
        augment = self.open_augmenter()
        if augment is None:
            for at, picture in enumerate(pictures):
                images[at] = resize_image(picture, self.size)
            return
        for at, (picture, key, repeat) in enumerate(zip(pictures, self.row_keys[rows].tolist(), repeats.tolist())):
            images[at] = augment(picture, epoch_key, key, repeat)

    def open_augmenter(self) -> Augmenter | None:
        """Raises PluginError: a transform that cannot be built."""
        if self._augmenter is None and self.build_augment is not None:
            self._augmenter = Augmenter(self.build_augment(), self.size, self.store.form.channels)
        return self._augmenter

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_augmenter": None}
