"""Augmentation on the device against the loader's: images a second that are ready for the network, each augmented and normalised.

The same things are done in both: a crop of 0.6 to 1 of the area resized to the training size, a mirror image half of the time,
brightness and contrast, a hole in a quarter of the images. The loader's (albumentations) is measured without workers and with one
for each core but one; so is the device's, whose loader only gathers stored bytes. No network is trained: this is what a step is
given, and the limit of a machine whose CPU is slow beside its GPU.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.pictures import open_pictures
from comp.api import ImageSpec
from comp.catalog import build_catalog
from comp.engine.data import TrainLoader
from comp.engine.loader.recipe import Recipe
from comp.engine.loader.workers import WorkerPool
from comp.engine.network import Network
from comp.engine.on_device import DeviceLoader, divide_augment
from comp.engine.randomness import row_keys
from comp.stores.store import open_store
from comp.stores.stored import ImageStore

HOLE = {"hole_height_range": [0.2, 0.4], "hole_width_range": [0.2, 0.4]}
IN_LOADER: list[dict[str, Any]] = [
    {"use": "A.RandomResizedCrop", "scale": [0.6, 1.0]},
    {"use": "A.HorizontalFlip", "p": 0.5},
    {"use": "A.RandomBrightnessContrast", "brightness_limit": [-0.1, 0.1], "contrast_limit": [-0.1, 0.1], "p": 1.0},
    {"use": "A.CoarseDropout", "num_holes_range": [1, 1], **HOLE, "p": 0.25},
]
ON_DEVICE: list[dict[str, Any]] = [{"use": "on_device", "scale": [0.6, 1.0], "erase": 0.25, "area": [0.04, 0.16]}]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder with JPEGs in it, or in its folders; else made from digits")
    parser.add_argument("--size", type=int, default=224, help="side of the training images, in pixels; a quarter more is stored")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=100, help="measured each time")
    return parser.parse_args()


class Bench:
    """A store of pictures, and what makes batches of it."""

    def __init__(self, store: ImageStore, given: argparse.Namespace, device: torch.device) -> None:
        self.store, self.given, self.device = store, given, device
        self.catalog = build_catalog(None)
        stored = store.form.size[0]
        self.image = ImageSpec((given.size, given.size), (stored, stored))
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.network = Network(nn.Identity(), nn.Identity(), mean, std).to(device)
        self.keys = row_keys(map(str, range(len(store))))

    def batches(self, specs: list[dict[str, Any]], pool: WorkerPool, count: int) -> Iterator[torch.Tensor]:
        """Images (B, C, H, W), ready on the device."""
        augment, size, changes = divide_augment(self.catalog, specs, self.image, self.store.form.size)
        recipe = Recipe(self.store, np.arange(len(self.store)), self.keys, augment, size)
        loader: Any = TrainLoader(recipe, self.given.batch, pool, self.device)
        if changes:
            loader = DeviceLoader(loader, self.keys, changes, self.network, self.image.size)
        order = np.resize(np.random.default_rng(0).permutation(len(self.store)), count * self.given.batch)
        for images, _ in loader.epoch(order, ("bench", 0)):
            yield images if images.is_floating_point() else self.network.prepare(images.to(self.device))

    def measure(self, specs: list[dict[str, Any]], workers: int) -> float:
        """Images a second."""
        with closing(WorkerPool(workers, workers + 1)) as pool:
            for warm in (True, False):
                started = time.perf_counter()
                for images in self.batches(specs, pool, 10 if warm else self.given.batches):
                    float(images[0, 0, 0, 0])  # done, as a step would need it
                elapsed = time.perf_counter() - started
        return self.given.batches * self.given.batch / elapsed


def main() -> None:
    given = read_arguments()
    torch.set_num_threads(os.cpu_count() or 1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with open_pictures(given.data) as (data, folder):
        names = sorted(str(path.relative_to(data)) for path in data.rglob("*.jpg"))[:2000]
        side = round(1.25 * given.size)
        bench = Bench(open_store(names, data, None, (side, side), "squash", 3, folder / "cache"), given, device)
        rates = {
            (name, workers): bench.measure(specs, workers)
            for workers in dict.fromkeys((0, max(1, (os.cpu_count() or 1) - 1)))
            for name, specs in (("loader", IN_LOADER), ("device", ON_DEVICE))
        }
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"augment    {given.size} px, batches of {given.batch}, {os.cpu_count()} cores, device: {name}")
    for (what, workers), rate in rates.items():
        print(f"  {what:<7} {workers:>3} workers   {rate:9.0f} images/s   {rate / rates[what, 0]:5.2f} x without workers")
    best = {what: max(rate for (other, _), rate in rates.items() if other == what) for what in ("loader", "device")}
    print(f"  on the device {best['device'] / best['loader']:.2f} x the loader's, each with the workers that suit it")


if __name__ == "__main__":
    main()
