"""Augmentation on the device: batches as a loader gives them, changed and normalised there before the network sees them.

What is done to an image depends on (epoch key, row key, n-th time in the epoch), as in the loader. How, is the plugins' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from comp.api import DeviceAugment, ImageSpec
from comp.catalog import Catalog
from comp.combinations import is_on_device
from comp.engine.augment import AugmentPlan
from comp.engine.clock import OFF, Clock
from comp.engine.data import TrainLoader, count_repeats
from comp.engine.memory import free_memory
from comp.engine.network import Network
from comp.engine.randomness import Part, draw_uniforms, hash_key
from comp.engine.sizes import leaves_training_size
from comp.errors import PluginError, RunError
from comp.images import Size

ROWS = 64
"""At a time, at most: what is made on the way takes several times the memory of a batch, which the network is to have."""


class DeviceLoader:
    """A loader whose images are augmented and normalised on the device.

    They take four times the memory of stored bytes there, and with train.accumulate those of a whole update lie there at once.

    Args:
        loader: gives uint8 images, changed by what stands before in `augment`.
        row_keys: (R,) uint64, of the training rows.
        size: (height, width) that images leave in.
        clock: where the time goes.
    """

    def __init__(
        self,
        loader: TrainLoader,
        row_keys: np.ndarray,
        changes: Sequence[DeviceAugment],
        network: Network,
        size: Size,
        clock: Clock = OFF,
    ) -> None:
        self.clock = clock
        self.loader, self.row_keys, self.changes, self.network, self.size = loader, row_keys, changes, network, size
        self.draws = sum(change.draws for change in changes)
        self.most = ROWS

    def epoch(
        self, order: np.ndarray, key: tuple[Part, ...], start_batch: int = 0, every: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """As TrainLoader.epoch, but for the images: (B, C, height, width) float32 on the device, as by Network.prepare."""
        epoch_key = int.from_bytes(hash_key(*key)[:8], "little")
        times, size = count_repeats(order), self.loader.batch_size
        starts = range(start_batch * size, len(order), every * size)
        for start, (images, rows) in zip(starts, self.loader.epoch(order, key, start_batch, every), strict=True):
            here = slice(start, start + size)
            with self.clock.part("augment"):
                drawn = draw_uniforms(epoch_key, self.row_keys[order[here]], times[here], self.draws)
                changed = self.change(images, drawn)
            yield changed, rows

    @torch.no_grad()
    def change(self, images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
        """(B, H, W, C) uint8 -> (B, C, height, width) float32, augmented and normalised, channels_last.

        Raises:
            RunError: the device's memory does not hold them, however few are changed at a time.
        """
        while True:
            try:
                return self.change_parts(images, drawn)
            except torch.OutOfMemoryError as error:
                failure = error.with_traceback(None)  # whose frames hold what fills the memory
            rows = min(self.most, len(images))
            if rows == 1:
                why = "the device's memory does not hold a batch of augmented images"
                raise RunError(
                    f"{why}; lower train.batch_size, train.accumulate or image.size, or augment in the loader (A.*)."
                ) from failure
            free_memory()
            self.most = rows // 2

    def change_parts(self, images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
        parts = zip(images.split(self.most), np.split(drawn, range(self.most, len(drawn), self.most)), strict=True)
        changed = [self.change_few(few.to(self.network.scale.device, non_blocking=True), numbers) for few, numbers in parts]
        return changed[0] if len(changed) == 1 else torch.cat(changed)

    def change_few(self, images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
        pixels, at = images.permute(0, 3, 1, 2).to(torch.float32).div_(255), 0
        for change in self.changes:
            before = pixels.shape
            pixels = change(pixels, drawn[:, at : at + change.draws])
            at += change.draws
            check_answer(pixels, before, type(change).__name__)
        if tuple(pixels.shape[2:]) != tuple(self.size):
            pixels = functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)
        return self.network.normalise(pixels)


def check_answer(pixels: Any, before: torch.Size, name: str) -> None:
    """Raises PluginError: a plugin's answer is no batch of the same images."""
    is_tensor = isinstance(pixels, torch.Tensor)
    if not is_tensor or pixels.ndim != 4 or pixels.shape[:2] != before[:2] or not pixels.is_floating_point():
        given = f"{pixels.dtype} of shape {tuple(pixels.shape)}" if is_tensor else type(pixels).__name__
        raise PluginError(f"augment ({name}) made {given} of {tuple(before)} images; wanted float (B, C, H, W)")


def open_change(catalog: Catalog, spec: Mapping[str, Any], image: ImageSpec) -> DeviceAugment:
    """Raises PluginError: what the plugin returns does not say how many numbers it wants."""
    change = catalog.build("augment", spec, image=image)
    draws = getattr(change, "draws", None)
    if not isinstance(draws, int) or draws < 0:
        wanted = "how many numbers it is given for each image, an int of 0 or more"
        raise PluginError(f"augment ({spec['use']}): `draws` is {draws!r}; wanted {wanted}")
    return change


def divide_augment(
    catalog: Catalog, specs: Sequence[Mapping[str, Any]], image: ImageSpec, stored: Size
) -> tuple[AugmentPlan | None, Size, list[DeviceAugment]]:
    """What the loader does, the size of the images that it gives, and what the device does with them.

    Args:
        specs: the stage's `augment`, with what is done on the device last.
        stored: (height, width) of the stored images.

    Raises:
        PluginError: as open_change.
    """
    there = [open_change(catalog, spec, image) for spec in specs if is_on_device(catalog, spec["use"])]
    here = tuple(specs[: len(specs) - len(there)])
    size = stored if there and not leaves_training_size(here) else image.size
    return AugmentPlan(catalog, here, image) if here else None, size, there
