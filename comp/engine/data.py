"""Data: training batches, augmented, in the order that a sampler wants, and plain batches for prediction.

What is done to an image depends on (epoch key, row key, n-th time in the epoch), never on a worker or on what came before: the
batches are the same for any number of workers. Batches stay uint8 (B, H, W, C); normalising is the device's work, since
collating floats costs eight times as much.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch

from comp.engine.clock import find_barrier
from comp.engine.loader.pace import MEMORY_SHARE, Machine, Pace, choose_workers, describe_choice
from comp.engine.loader.recipe import Batch, Chunk, Recipe
from comp.engine.loader.sending import Sender
from comp.engine.loader.workers import DEPTH, WorkerPool
from comp.engine.memory import measure_free
from comp.engine.randomness import Part, hash_key
from comp.images import Size, resize_image
from comp.stores.ahead import read_ahead
from comp.stores.stored import ImageStore


class TrainLoader:
    """Batches of training images, epoch after epoch, made in this process or by the run's workers.

    Where the number of workers is left to measurement, the first batches are made here and timed.

    Args:
        batch_size: rows of a batch; the last one of an epoch is smaller.
        device: where the batches are wanted; on a GPU they arrive while it computes.
        pace: None where the pool's number is given.
    """

    def __init__(
        self, recipe: Recipe, batch_size: int, pool: WorkerPool, device: torch.device | None = None, pace: Pace | None = None
    ) -> None:
        cv2.setNumThreads(1)  # the cores are the model's
        self.recipe, self.batch_size, self.pool, self.pace = recipe, batch_size, pool, pace
        self.device = device or torch.device("cpu")
        self.sender = Sender(self.device) if self.device.type == "cuda" else None

    def epoch(self, order: np.ndarray, key: tuple[Part, ...], start_batch: int = 0, every: int = 1) -> Iterator[Batch]:
        """The batches of one epoch, from `start_batch` on.

        Args:
            order: (M,) int64 positions among the training rows; a row may come several times.
            key: what the epoch's augmentation is drawn from, such as (seed, fold, stage, epoch).
            start_batch: how many batches to leave out; those that follow are what they would have been.
            every: give only every so many-th of those.

        Yields:
            images (B, height, width, C) uint8, and rows (B,) int64: positions among the training rows.

        Raises:
            RunError: a worker died.
        """
        return self._make(self.list_chunks(order, key, start_batch, every))

    def list_chunks(self, order: np.ndarray, key: tuple[Part, ...], start_batch: int = 0, every: int = 1) -> list[Chunk]:
        """What the batches of an epoch are made of; the arguments are those of `epoch`."""
        order = np.array(order, np.int64)
        epoch_key = int.from_bytes(hash_key(*key)[:8], "little")
        times = count_repeats(order)
        starts = range(start_batch * self.batch_size, len(order), every * self.batch_size)
        return [(order[start : start + self.batch_size], times[start : start + self.batch_size], epoch_key) for start in starts]

    def _make(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        count = self.pool.count_for(self.pace.name if self.pace else "")
        if count is None:
            measured = chunks[: self.pace.missing]
            yield from self._measure(measured)
            if len(measured) == len(chunks):
                return
            chunks, count = chunks[len(measured) :], self._choose()
        if count:
            batches = self.pool.make(self.recipe, chunks, count, pin=self.sender is not None)
        else:
            batches = map(self.recipe.make, chunks)
        yield from self.sender.send_ahead(batches, len(chunks)) if self.sender else batches

    def _measure(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        """Batches that are made here, one after another."""
        finish = find_barrier(self.device)
        for chunk in chunks:
            began = time.perf_counter()
            batch = self.recipe.make(chunk)
            made = time.perf_counter()
            yield batch
            finish()
            self.pace.times.append((made - began, time.perf_counter() - made))

    def _choose(self) -> int:
        make_s, step_s = self.pace.medians()
        on_gpu, free = self.device.type != "cpu", MEMORY_SHARE * measure_free(torch.device("cpu"))
        most = int(free / (DEPTH * self.batch_size * math.prod(self.recipe.shape)))
        machine = Machine(self.pool.cores, on_gpu, self.recipe.store.threads, self.pool.forks, most)
        count = self.pool.chosen[self.pace.name] = choose_workers(make_s, step_s, self.pace.planned, machine)
        if count or on_gpu:  # a CPU's model trains as ever
            self.pace.tell(describe_choice(count, make_s, step_s))
        return count


def iterate_images(store: ImageStore, positions: np.ndarray, batch_size: int, size: Size | None = None) -> Iterator[torch.Tensor]:
    """Images for prediction, in the order of `positions`: (B, H, W, C) uint8, in the store's size or resized to `size`.

    Where a GPU computes, the next batch is made meanwhile; a CPU's cores are the model's. Who stops half-way waits for no batch.
    """

    def make(chosen: np.ndarray) -> torch.Tensor:
        images = store.take(chosen)
        if size is not None and size != store.form.size:
            images = np.stack([resize_image(image, size) for image in images])
        return torch.from_numpy(images)

    chunks = [positions[start : start + batch_size] for start in range(0, len(positions), batch_size)]
    if not torch.cuda.is_available():
        yield from map(make, chunks)
        return
    thread = ThreadPoolExecutor(1)
    try:
        yield from read_ahead(make, chunks, thread, 1)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def count_repeats(order: np.ndarray) -> np.ndarray:
    """(M,) int64: how often each entry has come before."""
    by_value = np.argsort(order, kind="stable")
    values = order[by_value]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(order) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(order)])
    repeats = np.empty(len(order), np.int64)
    repeats[by_value] = np.arange(len(order)) - np.repeat(starts, lengths)
    return repeats
