"""The image store: every image decoded and resized once, kept as one uint8 array in a file that all processes map.

A store is a folder under `.comp/cache/` named by what it was made from (references, sizes and times of the files, reader,
preprocess steps, size, fit, channels), so a changed image makes another store, and any of them can be deleted. Building is
comp.stores.store_build's, how much room there is comp.stores.cache's; images that have none are comp.stores.unstored's.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from comp.api import STACK, Read
from comp.decoding import Size
from comp.errors import ImageError, WorkspaceError
from comp.images import list_bad, list_sources, read_own
from comp.steps import NO_STEPS, Steps
from comp.stores.cache import hold, make_room, room_lock, show_bytes
from comp.stores.growing import Growth
from comp.stores.store_build import (
    FORMAT,
    Found,
    Progress,
    build_store,
    lock_build,
    look_through,
    read_found,
    read_record,
    reserve_store,
)
from comp.stores.store_source import Source, StoreForm
from comp.stores.stored import ImageStore
from comp.stores.unstored import UnstoredImages, place_bad

_WAYS_OUT = ", or have them left out (on_bad_image: skip; for a test set, comp predict --on-bad-image mean)"


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
    by: str = "",
    growth: Growth | None = None,
) -> ImageStore:
    """The store of these images, from the cache or built now by a pool of threads; the images unstored, where it has no room.

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
        notice: called with a sentence when another process is building the same store and this one waits, and when there is no
            room for the store, or for a better one.
        by: who opens it, for the eye, as in `exp001 train`.
        growth: told what is written while it is built.

    Raises:
        ImageError: images that cannot be read, all of them at once, or none that can.
        WorkspaceError: the cache cannot be written.
    """
    form = StoreForm(size, fit, channels)
    names, rows = number_refs(refs)
    source = Source(root, form, read, steps)
    folder = cache / _work_out_key(names, source)
    workers = workers or os.cpu_count() or 1
    with lock_build(folder, notice):
        bad, unstored = _find_or_make(folder, names, source, progress, workers, notice, growth)
        held = hold(folder, by)
    if bad and (on_bad == "error" or len(bad) == len(names)):
        raise ImageError(f"{list_bad(bad, len(names))}\nMend or remove them" + _WAYS_OUT * (len(bad) < len(names)) + ".")
    if unstored is None:
        images = ImageStore(folder, form, rows, place_bad(names, rows, bad))
    else:
        why, found = unstored
        images = UnstoredImages(folder, source, names, rows, found, workers)
        if notice:
            notice(_describe_unstored(len(names), form, why, found))
    images.held = held
    if images.stored:
        images.pixels  # noqa: B018  mapped now, they stay readable though somebody removes the store
    return images


def open_kept(folder: Path, refs: Sequence[str], form: StoreForm) -> ImageStore:
    """A whole store by its folder, where the images that it was made of need not be.

    Args:
        refs: those that it was made for, in their order.

    Raises:
        WorkspaceError: it is not there, or not whole.
    """
    bad = read_record(folder)
    if bad is None:
        raise WorkspaceError(f"the image store {folder} is not whole; start the command again.")
    names, rows = number_refs(refs)
    return ImageStore(folder, form, rows, place_bad(names, rows, bad))


def number_refs(refs: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The references, each once, and (N,) int64 the place among them of each that is given."""
    names = list(dict.fromkeys(refs))
    index = {ref: row for row, ref in enumerate(names)}
    return names, np.fromiter((index[ref] for ref in refs), np.int64, len(refs))


def _find_or_make(
    folder: Path,
    names: Sequence[str],
    source: Source,
    progress: Progress | None,
    workers: int,
    notice: Callable[[str], None] | None,
    growth: Growth | None,
) -> tuple[dict[str, str], tuple[str, Found] | None]:
    """The bad images, and, where there is no room for a store, why not and what is known of the images."""
    bad = read_record(folder)
    if bad is not None and not _now_readable(bad, source):
        with room_lock(folder.parent):
            make_room(folder.parent, 0, keep=folder.name)  # the limit may have been lowered since
        return bad, None
    if why := reserve_store(folder, names, source.form):
        if bad is not None:
            if notice:
                notice(f"images that could not be read can be by now, but there is no room to store them: {why}.")
            return bad, None
        found = _look_once(folder, names, source, progress, workers)
        return found.bad, (why, found)
    return build_store(folder, names, source, progress, workers, growth), None


def _look_once(folder: Path, names: Sequence[str], source: Source, progress: Progress | None, workers: int) -> Found:
    found = read_found(folder)
    if found is None or _now_readable(found.bad, source):
        found = look_through(folder, names, source, progress, workers)
    return found


def _describe_unstored(count: int, form: StoreForm, why: str, found: Found) -> str:
    height, width = form.size
    return (
        f"{count:,} images of {height} x {width} px would take {show_bytes(count * form.bytes)} in the cache; {why}. "
        f"They are read and resized at every look instead: {1000 * found.decode_s:.1f} ms of one core an image, "
        f"{count * found.decode_s:,.1f} s for all of them. More room, or a smaller image.size, saves that."
    )


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
