"""Building an image store: images from files or a reader, by a pool of threads, into a folder that appears when it is whole.

The folder `<key>/` holds `pixels.u8` (the images one after another) and `store.json`. It grows as `<key>.unfinished` under a
lock that the kernel frees when its holder dies, and is renamed at the end. Images that have no room are looked at once, and
what is found (which are bad, the mean colour, what decoding takes) is `store.json` alone. What a store is called by is
comp.stores.store's, what the cache has room for comp.stores.cache's.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from filelock import Timeout

from comp.errors import ImageError, WorkspaceError
from comp.images import bare_reason
from comp.project import atomic_write
from comp.stores.cache import RECORD, UNFINISHED, USED, lock_of, make_room, room_lock, sweep
from comp.stores.store_source import Source, StoreForm

if TYPE_CHECKING:
    from comp.stores.growing import Growth

FORMAT = 2
PIXELS = "pixels.u8"
Progress = Callable[[int, int], None]

_LARGEST_CHUNK = 32


@dataclass(frozen=True)
class Found:
    """What is known of images that have been looked at.

    Attributes:
        bad: reference -> why it cannot be read.
        mean: (channels,) the readable images' mean colour, which stands for the bad ones; empty where none is bad.
        decode_s: seconds of one core, to read and resize an image.
    """

    bad: dict[str, str]
    mean: tuple[int, ...] = ()
    decode_s: float = 0.0


def read_record(folder: Path) -> dict[str, str] | None:
    """The bad images of a whole store, None where there is none."""
    try:
        record = _read_json(folder)
        return record["bad"] if (folder / PIXELS).stat().st_size == record["bytes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_found(folder: Path) -> Found | None:
    """What a look at images that had no room has found; None where there was none."""
    try:
        record = _read_json(folder)
        return Found(record["bad"], tuple(record["mean"]), record["decode_s"]) if record["unstored"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_json(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if record["format"] != FORMAT:
        raise ValueError("another format")
    return record


@contextmanager
def lock_build(folder: Path, notice: Callable[[str], None] | None) -> Iterator[None]:
    """Held while the store is looked up or built; says so before it waits for another process."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder)
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


def reserve_store(folder: Path, names: Sequence[str], form: StoreForm) -> str:
    """Take the room for a store's pixels; older stores make way. The caller holds its lock, and builds it next.

    Returns why there is no room; empty where there is.

    Raises:
        WorkspaceError: the cache cannot be written.
    """
    cache, unfinished = folder.parent, folder.with_name(f"{folder.name}{UNFINISHED}")
    need = len(names) * form.bytes
    sweep(cache)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with room_lock(cache):
            if why := make_room(cache, need, keep=folder.name, replaces=True):
                return why
            unfinished.mkdir()
            with open(unfinished / PIXELS, "wb") as file:
                _reserve(file.fileno(), need)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if error.errno == errno.ENOSPC:
            return "the disk has filled up"
        raise _refuse(folder, error) from error
    return ""


def build_store(
    folder: Path,
    names: Sequence[str],
    source: Source,
    progress: Progress | None,
    workers: int,
    growth: Growth | None = None,
) -> dict[str, str]:
    """Make the store of these references, in their order, in the room that was reserved. Returns the bad ones and why.

    `growth` is kept up to date.

    Raises:
        WorkspaceError: the disk is full after all, or the cache cannot be written.
    """
    unfinished = folder.with_name(f"{folder.name}{UNFINISHED}")
    try:
        bad = _write_pixels(unfinished / PIXELS, names, source, progress, workers, growth)
        _write_record(unfinished, names, source.form, {"bytes": len(names) * source.form.bytes, "bad": bad})
        with suppress(FileNotFoundError):
            os.replace(folder / USED, unfinished / USED)  # whoever has the old store open holds the new one
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    except OSError as error:
        raise _refuse(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return bad


def look_through(folder: Path, names: Sequence[str], source: Source, progress: Progress | None, workers: int) -> Found:
    """Decode every image once without keeping it, so that all bad ones are known before anything is trained.

    Raises:
        WorkspaceError: the cache cannot be written.
    """
    started = time.perf_counter()
    bad = _read_all(names, source, lambda row, image: None, progress, workers)
    decode_s = (time.perf_counter() - started) * min(workers, len(names)) / max(1, len(names))
    found = Found(bad, _look_for_mean(names, bad, source, workers) if bad else (), decode_s)
    record = {"unstored": True, "bytes": 0, "bad": bad, "mean": found.mean, "decode_s": decode_s}
    try:
        for left in folder.glob("*"):
            if left.name != USED:  # by which others hold the folder
                left.unlink()
        _write_record(folder, names, source.form, record)
    except OSError as error:
        raise _refuse(folder, error) from error
    return found


def _refuse(folder: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(f"the image store in {folder.parent} cannot be written: {error.strerror or error}")


def _write_record(folder: Path, names: Sequence[str], form: StoreForm, facts: dict[str, Any]) -> None:
    record = {"format": FORMAT, "images": len(names), **facts}
    record |= {"size": list(form.size), "fit": form.fit, "channels": form.channels}
    atomic_write(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1))


def _write_pixels(
    path: Path, names: Sequence[str], source: Source, progress: Progress | None, workers: int, growth: Growth | None
) -> dict[str, str]:
    """Writes with pwrite and not through a map, so that memory stays flat and a full disk is an error, not a SIGBUS."""
    each = source.form.bytes
    with open(path, "r+b") as file:
        descriptor = file.fileno()
        if growth:
            growth.begin(path, source.form)

        def write(row: int, image: np.ndarray) -> None:
            _write_row(descriptor, image.data, row * each)
            if growth:
                growth.written[row] = True

        bad = _read_all(names, source, write, progress, workers)
        if bad:
            _fill_with_mean(descriptor, names, bad, source.form)
        file.flush()
        os.fsync(descriptor)
    return bad


def _read_all(
    names: Sequence[str],
    source: Source,
    keep: Callable[[int, np.ndarray], None],
    progress: Progress | None,
    workers: int,
) -> dict[str, str]:
    """Hand every readable image to `keep`, with its row, from several threads. Returns the others and why."""
    # Small chunks where there are few images: the last one is not to be waited for long.
    chunk = max(1, min(_LARGEST_CHUNK, len(names) // (8 * workers)))

    def read_chunk(start: int) -> dict[str, str]:
        bad = {}
        for row in range(start, min(start + chunk, len(names))):
            try:
                image = source(names[row])
            except ImageError as error:
                bad[names[row]] = bare_reason(error, source.root / names[row])
            else:
                keep(row, image)
        return bad

    return _run_in_threads(read_chunk, range(0, len(names), chunk), len(names), workers, progress)


def _run_in_threads(
    read_chunk: Callable[[int], dict[str, str]], starts: range, total: int, workers: int, progress: Progress | None
) -> dict[str, str]:
    bad: dict[str, str] = {}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the parallelism is over images; OpenCV's own threads would fight with it
    pool = ThreadPoolExecutor(workers)
    try:
        for start, found in zip(starts, pool.map(read_chunk, starts)):
            bad |= found
            if progress:
                progress(min(start + starts.step, total), total)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
    return bad


def _reserve(descriptor: int, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _write_row(descriptor: int, pixels: memoryview | bytes, offset: int) -> None:
    written, pixels = 0, memoryview(pixels).cast("B")
    while written < len(pixels):
        written += os.pwrite(descriptor, pixels[written:], offset + written)


def _look_for_mean(names: Sequence[str], bad: dict[str, str], source: Source, workers: int) -> tuple[int, ...]:
    means = np.zeros((len(names), source.form.channels))

    def note(row: int, image: np.ndarray) -> None:
        means[row] = _mean_of(image)

    _read_all([ref for ref in names if ref not in bad], source, note, None, workers)
    return tuple(_settle_mean(means, len(names) - len(bad)).tolist())


def _fill_with_mean(descriptor: int, names: Sequence[str], bad: dict[str, str], form: StoreForm) -> None:
    good = [row for row, ref in enumerate(names) if ref not in bad]
    images = (np.frombuffer(os.pread(descriptor, form.bytes, row * form.bytes), np.uint8) for row in good)
    mean = _settle_mean((_mean_of(image.reshape(form.shape)) for image in images), len(good))
    filling = np.broadcast_to(mean, form.shape).tobytes()
    for row, ref in enumerate(names):
        if ref in bad:
            _write_row(descriptor, filling, row * form.bytes)


def _mean_of(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, image.shape[2]).mean(axis=0)


def _settle_mean(means: Iterable[np.ndarray], count: int) -> np.ndarray:
    """(channels,) uint8: the mean of images' means, added one after another, so that it is the same however they were read."""
    return np.rint(sum(means) / max(1, count)).astype(np.uint8)
