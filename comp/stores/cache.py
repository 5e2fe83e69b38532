"""The cache: how much of the disk decoded images may take, what lies there, and which store goes when room is wanted.

A store's folder tells in `used` who opened it and, by that file's time, when. Whoever has it open holds a shared lock on the
file, which the kernel frees when its holder dies; nobody removes a store that is held. A store goes whole, with the features
that lie in it, and by being renamed first, so that a killed removal is swept up by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock

from comp.errors import WorkspaceError

LIMIT = "COMP_CACHE_GB"
"""The environment variable that sets the limit, in GB of 2**30 bytes; 0 stores nothing."""

SHARE = 0.8
"""Of what the disk would have free without the cache: the limit where none is set. The rest is for runs and submissions."""

SPARE_BYTES = 64 * 2**20
"""What building a store leaves free of the disk, whatever the limit."""

UNFINISHED = ".unfinished"
RECORD = "store.json"
USED = "used"


@dataclass(frozen=True)
class Entry:
    """One store in the cache.

    Attributes:
        key: the name of its folder.
        by: who opened it, as in `exp001 train`.
        images, size, fit, channels: what it holds, as (height, width) pixels; 0 images where it says nothing of itself.
        stored: false: the images had no room, and only what is known about them lies here (with features, perhaps).
        bytes: all of it.
        feature_bytes: of those, the features of frozen backbones.
        used_at: when it was last opened, in seconds since the epoch.
        in_use: some process has it open, or is building it.
    """

    key: str
    by: tuple[str, ...]
    images: int
    size: tuple[int, int]
    fit: str
    channels: int
    stored: bool
    bytes: int
    feature_bytes: int
    used_at: float
    in_use: bool


def read_limit(cache: Path) -> int:
    """The most that the cache may take, in bytes.

    Raises:
        WorkspaceError: COMP_CACHE_GB is no number from 0 on.
    """
    given = os.environ.get(LIMIT, "").strip()
    if not given:
        return int(SHARE * (shutil.disk_usage(_existing(cache)).free + sum(map(_weigh, _list_folders(cache)))))
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise WorkspaceError(f"{LIMIT} is {given!r}; wanted the most GB that .comp/cache may take, from 0 on, as in {LIMIT}=50")
    return int(limit * 2**30)


def lock_of(folder: Path) -> FileLock:
    """Held while a store is looked up, built or removed."""
    return FileLock(folder.with_name(f".{folder.name.removesuffix(UNFINISHED)}.lock"))


def hold(folder: Path, by: str = "") -> IO[bytes] | None:
    """Note that a store is used now, and keep it from being removed for as long as what is returned is open.

    Returns None where nothing can be written beside it, as in somebody else's folder: nobody removes it from there either.
    """
    try:
        file = open(folder / USED, "a+b", buffering=0)  # noqa: SIM115  closed by whoever holds it
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # a full disk takes no note, but the store is held
        os.utime(folder / USED)
        file.seek(0)
        if by and by not in file.read().decode().splitlines():
            file.write(f"{by}\n".encode())
    return file


def make_room(cache: Path, need: int, keep: str = "", *, replaces: bool = False) -> str:
    """Remove the stores that were used longest ago until `need` bytes more fit both the limit and the disk; none if they can't.

    Args:
        keep: the key of a store that stays.
        replaces: what is wanted takes that store's place in the end, so that its bytes do not count towards the limit.

    Returns why there is no room; empty where there is. Call it under `room_lock` if the room is to be taken.
    """
    limit, entries = read_limit(cache), list_entries(cache)
    free = shutil.disk_usage(cache).free
    counted = sum(entry.bytes for entry in entries if not (replaces and entry.key == keep))
    over_limit, over_disk = counted + need - limit, need + SPARE_BYTES - free
    excess = max(over_limit, over_disk if need else 0)
    oldest = [entry for entry in reversed(entries) if not entry.in_use and entry.key != keep]
    enough = need <= limit and sum(entry.bytes for entry in oldest) >= excess
    if enough or not need:
        for entry in oldest:
            if excess > 0 and remove(cache / entry.key):
                excess -= entry.bytes
    if excess <= 0:
        return ""
    if over_limit > 0:
        rest = "" if need > limit else ", and what is in use takes the rest"
        return f"{show_bytes(limit)} is the cache's limit ({LIMIT}){rest}"
    return f"the disk has {show_bytes(free)} free"


def describe_need(cache: Path, images: int, shape: tuple[int, int, int]) -> str:
    """What so many images of (height, width, channels) take, and whether the cache may hold them."""
    height, width, channels = shape
    need, limit = images * height * width * channels, read_limit(cache)
    fits = "" if need <= limit else f", more than the cache may hold ({show_bytes(limit)}; {LIMIT}): read at every look instead"
    return f"{images:,} images stored at {height} x {width} px: {show_bytes(need)}{fits}"


def room_lock(cache: Path) -> FileLock:
    """Held from asking for room until it is taken, so that two builds do not both count on it."""
    return FileLock(cache / ".room.lock")


@contextlib.contextmanager
def looking(cache: Path) -> Iterator[None]:
    """room_lock as far as it can be had: of two that ask at once whether a store is held, each takes the other for a holder."""
    with contextlib.ExitStack() as stack:
        if cache.is_dir():
            with contextlib.suppress(OSError):  # somebody else's cache
                stack.enter_context(room_lock(cache))
        yield


def remove(folder: Path) -> bool:
    """Remove a store, unless it is in use, or somebody else's. Returns whether it is gone."""
    doomed = folder if folder.name.endswith(UNFINISHED) else folder.with_name(folder.name + UNFINISHED)
    with contextlib.suppress(OSError), lock_of(folder).acquire(timeout=0):
        if not _is_held(folder):
            if doomed != folder:
                shutil.rmtree(doomed, ignore_errors=True)
                folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    return not folder.exists() and not doomed.exists()


def sweep(cache: Path) -> None:
    """Remove what killed builds and killed removals left behind."""
    for left in cache.glob(f"*{UNFINISHED}"):
        remove(left)


def clear_cache(cache: Path, older_than_s: float = 0.0) -> list[Entry]:
    """Remove what was not used for so many seconds, and is not in use now. Returns what is gone."""
    with looking(cache):
        old = [entry for entry in list_entries(cache) if time.time() - entry.used_at >= older_than_s]
        return [entry for entry in old if remove(cache / entry.key)]


def list_entries(cache: Path) -> list[Entry]:
    """What lies in the cache, the last used first. Call it under `looking`, or under `room_lock`."""
    found = [entry for folder in _list_folders(cache) if (entry := _look_at(folder))]
    return sorted(found, key=lambda entry: -entry.used_at)


def _look_at(folder: Path) -> Entry | None:
    """None where it has gone meanwhile."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        facts = record["images"], tuple(record["size"]), record["fit"], record["channels"], not record.get("unstored", False)
    except (OSError, ValueError, KeyError, TypeError):
        facts = 0, (0, 0), "", 0, False
    try:
        used = folder / USED
        by = tuple(used.read_text(encoding="utf-8").splitlines()) if used.exists() else ()
        used_at = (used if used.exists() else folder).stat().st_mtime
        features = sum(path.stat().st_size for path in folder.glob("features-*"))
        return Entry(folder.name, by, *facts, _weigh(folder), features, used_at, _is_held(folder) or _is_locked(folder))
    except FileNotFoundError:
        return None


def _list_folders(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("*") if path.is_dir()) if cache.is_dir() else []


def _weigh(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return 0


def _is_held(folder: Path) -> bool:
    """Also where it cannot be told, as on a shared disk without locks, or in somebody else's cache."""
    try:
        with open(folder / USED, "r+b") as file:  # an exclusive lock over NFS wants a file that may be written
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _is_locked(folder: Path) -> bool:
    """Whether somebody builds it."""
    if not folder.name.endswith(UNFINISHED):
        return False
    try:
        with lock_of(folder).acquire(timeout=0):
            return False
    except OSError:  # a Timeout, or somebody else's cache
        return True


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def show_bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 / 10 else f"{count / 2**20:.1f} MB"
