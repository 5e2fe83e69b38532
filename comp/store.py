"""The image store: every image decoded and resized once, kept as one uint8 array in a file that all processes map.

A store is a folder under `.comp/cache/` named by what it was made from (references, sizes and times of the files, reader,
preprocess steps, size, fit, channels), so a changed image makes another store, and any of them can be deleted. Building is
comp.store_build's.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from comp.api import STACK, Read
from comp.decoding import Size
from comp.errors import ImageError
from comp.images import list_bad, list_sources, read_own
from comp.steps import NO_STEPS, Steps
from comp.store_build import FORMAT, PIXELS, Progress, Source, StoreForm, build_store, lock_build, read_record

_WAYS_OUT = ", or have them left out (on_bad_image: skip; for a test set, comp predict --on-bad-image mean)"


class ImageStore:
    """Images by their position in the references that the store was opened with. Pickles as a path, not as pixels.

    Attributes:
        folder: where it lies.
        form: how the images are kept.
        rows: (N,) int64, the stored row of each reference; equal references share one.
        bad: position -> why that image cannot be read; such a position holds the mean colour of the readable images.
    """

    def __init__(self, folder: Path, form: StoreForm, rows: np.ndarray, bad: dict[int, str]) -> None:
        self.folder, self.form, self.rows, self.bad = folder, form, rows, bad
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> np.ndarray:
        """(stored rows, H, W, C) uint8, read-only, mapped from the file; index it with `rows`."""
        if self._pixels is None:
            count = int(self.rows.max()) + 1 if len(self.rows) else 0
            shape = (count, *self.form.shape)
            mapped = np.memmap(self.folder / PIXELS, np.uint8, "r", shape=shape) if count else np.zeros(shape, np.uint8)
            self._pixels = np.asarray(mapped)
        return self._pixels

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(n,) positions -> (n, H, W, C) uint8, a copy."""
        return self.pixels[self.rows[positions]]

    def pictures(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """(n,) positions -> each (H, W, C) uint8, not copied."""
        return map(self.pixels.__getitem__, self.rows[positions].tolist())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}


def open_store(
    refs: Sequence[str],
    root: Path,
    read: Read | None,
    size: Size,
    fit: str,
    channels: int,
    cache: Path,
    on_bad: Literal["error", "skip", "mean"] = "error",
    progress: Progress | None = None,
    workers: int = 0,
    *,
    steps: Steps = NO_STEPS,
    notice: Callable[[str], None] | None = None,
) -> ImageStore:
    """The store of these images, from the cache or built now by a pool of threads.

    Args:
        refs: image references, as in Tables; repeated ones are stored once.
        root: what they are relative to.
        read: the dataset's own reader, or None for image files.
        size, fit, channels: how they are kept (StoreForm).
        cache: the workspace's cache folder; made if it is not there.
        on_bad: error raises; skip and mean return a store with `bad` filled (what to leave out is the caller's decision).
        progress: called with (images done, images in all) while it is built.
        workers: threads; 0: one per core.
        steps: what is done to each image before it is resized.
        notice: called with a sentence when another process is building the same store and this one waits.

    Raises:
        ImageError: images that cannot be read, all of them at once, or none that can.
        WorkspaceError: the disk has no room for the store, or the cache cannot be written.
    """
    form = StoreForm(size, fit, channels)
    names = list(dict.fromkeys(refs))
    index = {ref: row for row, ref in enumerate(names)}
    rows = np.fromiter((index[ref] for ref in refs), np.int64, len(refs))
    source = Source(root, form, read, steps)
    folder = cache / _work_out_key(names, source)
    with lock_build(folder, notice):
        bad = read_record(folder)
        if bad is None or _now_readable(bad, source):
            bad = build_store(folder, names, source, progress, workers or os.cpu_count() or 1)
    if bad and (on_bad == "error" or len(bad) == len(names)):
        raise ImageError(f"{list_bad(bad, len(names))}\nMend or remove them" + _WAYS_OUT * (len(bad) < len(names)) + ".")
    why = {index[ref]: reason for ref, reason in bad.items()}
    return ImageStore(folder, form, rows, {at: why[row] for at, row in enumerate(rows.tolist()) if row in why} if why else {})


def _work_out_key(names: Sequence[str], source: Source) -> str:
    root, form, read, steps = source.root, source.form, source.read, source.steps
    given = [FORMAT, form.size, form.fit, form.channels, str(root.resolve()), getattr(read, "key", ""), steps.name]
    digest = hashlib.sha256(json.dumps(given).encode())
    look = functools.cache(functools.partial(_look_at, root))  # an archive holds many images
    whole = True
    for ref in names:
        seen = [look(path) for path in list_sources(ref, read)]
        whole = whole and all(seen)
        digest.update(f"{ref}\0{'|'.join(seen)}\0{steps.describe(ref)}\n".encode())
    if read is not None:
        digest.update(_identify_reader(read, () if whole else [part for ref in names for part in ref.split(STACK) if part]))
    return digest.hexdigest()[:16]


def _look_at(root: Path, path: str) -> str:
    """Size and time of a file; empty where there is none."""
    try:
        facts = os.stat(os.path.join(root, path))
    except (OSError, ValueError):
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _identify_reader(read: Read, names: Sequence[str]) -> bytes:
    """The reader's source, and, where references are no files whose times tell of changes, what it reads for some of them."""
    function: Any = read
    while isinstance(function, functools.partial):
        function = function.func
    function = function if hasattr(function, "__qualname__") else type(function)
    source = inspect.getsourcefile(inspect.unwrap(function))
    digest = hashlib.sha256(f"{function.__module__}.{function.__qualname__}".encode())
    digest.update(Path(source).read_bytes() if source and Path(source).is_file() else b"")
    for ref in names[:: max(1, len(names) // 64)]:
        try:
            array = read_own(read, ref)
            digest.update(f"{ref}\0{array.shape}\0".encode() + array.tobytes())
        except ImageError as error:
            digest.update(f"{ref}\0{error}".encode())
    return digest.digest()


def _now_readable(bad: dict[str, str], source: Source) -> bool:
    """Whether one of the first bad images reads by now: permissions and mounts change without a file's time changing."""
    for ref in list(bad)[:20]:
        try:
            source(ref)
        except ImageError:
            continue
        return True
    return False
