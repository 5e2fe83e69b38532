"""Data: training batches, augmented, in the order that a sampler wants, and plain batches for prediction.

What is done to an image depends on (epoch key, row key, n-th time in the epoch), never on a worker or on what came before: the
batches are the same for any number of workers. Batches stay uint8 (B, H, W, C); normalising is the device's work, since
collating floats costs eight times as much.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from comp.engine.augment import Augmenter
from comp.engine.randomness import Part, hash_key
from comp.errors import CompError, RunError
from comp.images import Size, resize_image
from comp.stores.ahead import read_ahead
from comp.stores.stored import ImageStore

Chunk = tuple[np.ndarray, np.ndarray, int]
"""One batch to be made: rows (B,), how often each came before in the epoch (B,), and the epoch's key."""

BuildAugment = Callable[[], Sequence[Any]]
"""Builds the transforms (comp.engine.augment.AugmentPlan). It is pickled to workers, so it holds plain data, not transforms."""


class TrainLoader:
    """Batches of training images, epoch after epoch, in this process or from worker processes that live as long as it.

    Args:
        store: the images.
        positions: (R,) int64, each training row's position among the references that the store was opened with.
        row_keys: (R,) uint64 (comp.engine.randomness.row_keys).
        build_augment: None for no augmentation.
        size: (height, width) of the batches; what the transforms leave in another size is resized.
        batch_size: rows of a batch; the last one of an epoch is smaller.
        workers: processes; 0 works in this one.
        pin: whether the batches lie in page-locked memory, for asynchronous copies to a GPU.
        start_method: fork | spawn | forkserver; None: the platform's own.
    """

    def __init__(
        self,
        store: ImageStore,
        positions: np.ndarray,
        row_keys: np.ndarray,
        build_augment: BuildAugment | None,
        size: Size,
        batch_size: int,
        workers: int = 0,
        *,
        pin: bool = False,
        start_method: str | None = None,
    ) -> None:
        cv2.setNumThreads(1)  # the cores are the model's
        self._batches = _Batches(store, np.asarray(positions, np.int64), np.asarray(row_keys, np.uint64), build_augment, size)
        self.batch_size, self.workers, self.pin = batch_size, workers, pin
        self._plan = _Plan()
        self._loader = self._start_workers(start_method) if workers else None

    def epoch(
        self, order: np.ndarray, key: tuple[Part, ...], start_batch: int = 0, every: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
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
        order = np.array(order, np.int64)
        epoch_key = int.from_bytes(hash_key(*key)[:8], "little")
        times = count_repeats(order)
        starts = range(start_batch * self.batch_size, len(order), every * self.batch_size)
        chunks = [(order[start : start + self.batch_size], times[start : start + self.batch_size], epoch_key) for start in starts]
        return self._work_here(chunks) if self._loader is None else self._ask_workers(chunks)

    def close(self) -> None:
        """Stop the workers. Epochs that are asked for later are made in this process."""
        loader, self._loader = self._loader, None
        # Left to the garbage collector, the workers end only when their own wait of five seconds does.
        if loader is not None and loader._iterator is not None:
            loader._iterator._shutdown_workers()

    def _work_here(self, chunks: Sequence[Chunk]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for chunk in chunks:
            images, rows = self._batches.make(chunk)
            yield (images.pin_memory(), rows) if self.pin else (images, rows)

    def _ask_workers(self, chunks: Sequence[Chunk]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        self._plan.chunks = chunks
        try:
            with _own_child_signals():
                batches = iter(self._loader)
            for batch in batches:
                if isinstance(batch, CompError):
                    raise batch
                yield tuple(batch)
        except (RuntimeError, OSError, EOFError) as error:
            # A worker that dies while handing over a batch shows as a broken connection; a plugin's own error bears "Caught".
            if "exited unexpectedly" not in str(error) and (isinstance(error, RuntimeError) or "Caught" in str(error)):
                raise
            raise RunError(
                f"a loader worker died ({str(error) or type(error).__name__}). Often there is too little memory, or too little "
                f"shared memory (/dev/shm; in a container --shm-size), for {self.workers} workers: set train.workers lower, "
                "0 for none."
            ) from error

    def _start_workers(self, start_method: str | None) -> DataLoader:
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=self._plan,
            num_workers=self.workers,
            persistent_workers=True,
            prefetch_factor=4,
            pin_memory=self.pin,
            worker_init_fn=_settle_worker,
            multiprocessing_context=multiprocessing.get_context(start_method),
            generator=torch.Generator().manual_seed(0),  # else each epoch draws from torch's global generator
        )


def iterate_images(
    store: ImageStore, positions: np.ndarray, batch_size: int, size: Size | None = None
) -> Iterator[torch.Tensor]:
    """Images for prediction, in the order of `positions`: (B, H, W, C) uint8, in the store's size or resized to `size`.

    Where a GPU computes, the next batch is made meanwhile; a CPU's cores are the model's.
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
    with ThreadPoolExecutor(1) as thread:
        yield from read_ahead(make, chunks, thread, 1)


def count_repeats(order: np.ndarray) -> np.ndarray:
    """(M,) int64: how often each entry has come before."""
    by_value = np.argsort(order, kind="stable")
    values = order[by_value]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(order) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(order)])
    repeats = np.empty(len(order), np.int64)
    repeats[by_value] = np.arange(len(order)) - np.repeat(starts, lengths)
    return repeats


@dataclass(eq=False)
class _Plan:
    """The sampler of the worker processes: the batches of the epoch to come."""

    chunks: Sequence[Chunk] = ()

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


class _Batches(Dataset):
    """What a worker is sent once: the store's path, the rows, and how to build the transforms; it makes the rest itself."""

    def __init__(
        self, store: ImageStore, positions: np.ndarray, row_keys: np.ndarray, build_augment: BuildAugment | None, size: Size
    ) -> None:
        self.store, self.positions, self.row_keys = store, positions, row_keys
        self.build_augment, self.size = build_augment, size
        self._augmenter: Augmenter | None = None

    def __getitem__(self, chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor] | CompError:
        # Raised in a worker it would reach the user inside torch's traceback: it is sent, and raised by the loader.
        try:
            return self.make(chunk)
        except CompError as error:
            return error

    def make(self, chunk: Chunk) -> tuple[torch.Tensor, torch.Tensor]:
        rows, repeats, epoch_key = chunk
        positions = self.positions[rows]
        if self.build_augment is None and self.size == self.store.form.size:
            return torch.from_numpy(self.store.take(positions)), torch.from_numpy(rows)
        images = np.empty((len(rows), *self.size, self.store.form.channels), np.uint8)
        pictures = self.store.pictures(positions)
        if self.build_augment is None:
            for at, picture in enumerate(pictures):
                images[at] = resize_image(picture, self.size)
        else:
            augment = self.open_augmenter()
            for at, (picture, key, repeat) in enumerate(zip(pictures, self.row_keys[rows].tolist(), repeats.tolist())):
                images[at] = augment(picture, epoch_key, key, repeat)
        return torch.from_numpy(images), torch.from_numpy(rows)

    def open_augmenter(self) -> Augmenter:
        if self._augmenter is None:
            self._augmenter = Augmenter(self.build_augment(), self.size, self.store.form.channels)
        return self._augmenter

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_augmenter": None}


def _settle_worker(_worker: int) -> None:
    # Two processes with several threads each on two cores are ten times slower, not twice as fast (spinning at barriers).
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@contextmanager
def _own_child_signals() -> Iterator[None]:
    """Keep torch from raising a worker's death inside whatever the main thread is doing, a training step for instance.

    Without torch's SIGCHLD handler the death is found where the batch is awaited, within five seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
