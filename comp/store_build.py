"""Building an image store: images from files or a reader, by a pool of threads, into a folder that appears when it is whole.

The folder `<key>/` holds `pixels.u8` (the images one after another) and `store.json`. It grows as `<key>.unfinished` under a
lock that the kernel frees when its holder dies, and is renamed at the end. What a store is called by is comp.store's.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock, Timeout

from comp.api import STACK, Read
from comp.decoding import Size
from comp.errors import ImageError, WorkspaceError
from comp.images import bare_reason, read_image, read_own, resize_image, to_channels
from comp.project import atomic_write
from comp.steps import NO_STEPS, Steps

FORMAT = 2
PIXELS = "pixels.u8"
Progress = Callable[[int, int], None]

_CHUNK = 32
_SPARE_BYTES = 64 * 2**20
_UNFINISHED = ".unfinished"


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


def read_record(folder: Path) -> dict[str, str] | None:
    """The bad images of a whole store, None where there is none."""
    try:
        record = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        whole = record["format"] == FORMAT and (folder / PIXELS).stat().st_size == record["bytes"]
    except (OSError, ValueError, KeyError):
        return None
    return record["bad"] if whole else None


@contextmanager
def lock_build(folder: Path, notice: Callable[[str], None] | None) -> Iterator[None]:
    """Held while the store is looked up or built; says so before it waits for another process."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_of(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if notice:
                notice("another process is reading the same images into the store; waiting until it is done")
            lock.acquire()
    except OSError as error:
        raise WorkspaceError(f"the cache {folder.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def build_store(folder: Path, names: Sequence[str], source: Source, progress: Progress | None, workers: int) -> dict[str, str]:
    """Make the store of these references, in their order; the caller holds its lock. Returns the bad ones and why.

    Raises:
        WorkspaceError: no room, or the cache cannot be written.
    """
    form, unfinished = source.form, folder.with_name(f"{folder.name}{_UNFINISHED}")
    _sweep(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        bad = _write_pixels(unfinished / PIXELS, names, source, progress, workers)
        record = {"format": FORMAT, "images": len(names), "bytes": len(names) * form.bytes, "bad": bad}
        record |= {"size": list(form.size), "fit": form.fit, "channels": form.channels}
        atomic_write(unfinished / "store.json", json.dumps(record, ensure_ascii=False, indent=1))
        os.rename(unfinished, folder)
    except OSError as error:
        raise WorkspaceError(f"the image store in {folder.parent} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return bad


def _sweep(cache: Path) -> None:
    """Remove what killed builds of other stores left behind."""
    for left in cache.glob(f"*{_UNFINISHED}"):
        lock = _lock_of(left.with_name(left.name.removesuffix(_UNFINISHED)))
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:
            continue


def _write_pixels(path: Path, names: Sequence[str], source: Source, progress: Progress | None, workers: int) -> dict[str, str]:
    """Writes with pwrite and not through a map, so that memory stays flat and a full disk is an error, not a SIGBUS."""
    each = source.form.bytes
    with open(path, "w+b") as file:
        _reserve(file.fileno(), len(names) * each, path.parents[1])

        def write_chunk(start: int) -> dict[str, str]:
            bad = {}
            for row in range(start, min(start + _CHUNK, len(names))):
                try:
                    _write_row(file.fileno(), source(names[row]).data, row * each)
                except ImageError as error:
                    bad[names[row]] = bare_reason(error, source.root / names[row])
            return bad

        bad = _run_in_threads(write_chunk, len(names), workers, progress)
        if bad:
            _fill_with_mean(file.fileno(), names, bad, source.form)
        file.flush()
        os.fsync(file.fileno())
    return bad


def _run_in_threads(
    write_chunk: Callable[[int], dict[str, str]], total: int, workers: int, progress: Progress | None
) -> dict[str, str]:
    bad: dict[str, str] = {}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the parallelism is over images; OpenCV's own threads would fight with it
    pool = ThreadPoolExecutor(workers)
    starts = range(0, total, _CHUNK)
    try:
        for start, found in zip(starts, pool.map(write_chunk, starts)):
            bad |= found
            if progress:
                progress(min(start + _CHUNK, total), total)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
    return bad


def _reserve(descriptor: int, size: int, cache: Path) -> None:
    free = shutil.disk_usage(cache).free
    if size + _SPARE_BYTES > free:
        raise WorkspaceError(
            f"the image store needs {size / 2**30:.1f} GB in {cache}, where {free / 2**30:.1f} GB are free. "
            "Free some (everything in .comp/cache can be deleted), or set a smaller image.size."
        )
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _write_row(descriptor: int, pixels: memoryview | bytes, offset: int) -> None:
    written, pixels = 0, memoryview(pixels).cast("B")
    while written < len(pixels):
        written += os.pwrite(descriptor, pixels[written:], offset + written)


def _fill_with_mean(descriptor: int, names: Sequence[str], bad: dict[str, str], form: StoreForm) -> None:
    total = np.zeros(form.channels)
    for row, ref in enumerate(names):
        if ref not in bad:
            image = np.frombuffer(os.pread(descriptor, form.bytes, row * form.bytes), np.uint8)
            total += image.reshape(-1, form.channels).mean(axis=0)
    mean = np.rint(total / max(1, len(names) - len(bad))).astype(np.uint8)
    filling = np.broadcast_to(mean, form.shape).tobytes()
    for row, ref in enumerate(names):
        if ref in bad:
            _write_row(descriptor, filling, row * form.bytes)
