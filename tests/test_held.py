"""Stores that are held: on disks that lock otherwise, when the disk is full, and when what is held is built anew."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

import comp.stores.cache
from comp.stores.cache import clear_cache, hold, list_entries, make_room, remove, room_lock
from comp.stores.store import open_store
from comp.stores.stored import ImageStore

LOCK = fcntl.flock


def put(cache: Path, key: str = "a") -> Path:
    """A folder like a store's, which nobody holds."""
    folder = cache / key
    folder.mkdir(parents=True)
    (folder / "pixels.u8").write_bytes(bytes(1000))
    hold(folder, "exp001 train").close()
    return folder


def open_here(root: Path) -> ImageStore:
    if not (root / "images").exists():
        (root / "images").mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / "images" / f"{number}.png")
    return open_store([f"{number}.png" for number in range(3)], root / "images", None, (8, 8), "squash", 3, root / "cache")


def lock_as_nfs(file: io.FileIO | int, how: int) -> None:
    """An exclusive lock there is one of fcntl, which wants a file that may be written."""
    if how & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    LOCK(file, how)


# ---- other disks ---------------------------------------------------------------------------------------------------------


def test_over_nfs_what_nobody_holds_goes_and_what_is_held_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(comp.stores.cache.fcntl, "flock", lock_as_nfs)
    folder = put(tmp_path)
    with hold(folder):
        assert list_entries(tmp_path)[0].in_use and not remove(folder)
    assert not list_entries(tmp_path)[0].in_use and remove(folder)


@pytest.mark.parametrize("error", [errno.EBADF, errno.EACCES, errno.ENOLCK])
def test_what_cannot_be_asked_is_left_alone(tmp_path, monkeypatch, error):
    def refuse(file: io.FileIO | int, how: int) -> None:
        if how & fcntl.LOCK_EX and not isinstance(file, int):  # those of FileLock are numbers
            raise OSError(error, os.strerror(error))
        LOCK(file, how)

    monkeypatch.setattr(comp.stores.cache.fcntl, "flock", refuse)
    monkeypatch.setenv("COMP_CACHE_GB", "0.000001")
    folder = put(tmp_path / "cache")
    assert list_entries(tmp_path / "cache")[0].in_use and not remove(folder)
    assert not open_here(tmp_path).stored and folder.exists()


def test_in_somebody_elses_cache_nothing_goes_and_nothing_fails(tmp_path, monkeypatch):
    folder = put(tmp_path)

    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setenv("COMP_CACHE_GB", "0.000001")
    assert not remove(folder) and folder.exists()
    assert make_room(tmp_path, 500) != "" and clear_cache(tmp_path) == []


def test_what_could_not_be_deleted_whole_is_not_gone(tmp_path, monkeypatch):
    folder = put(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, **others: None)
        assert not remove(folder) and not folder.exists()
    assert remove(tmp_path / "a.unfinished") and list_entries(tmp_path) == []


# ---- a full disk ---------------------------------------------------------------------------------------------------------


class Full(io.FileIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_store_is_held_also_where_the_disk_takes_no_note_of_it(tmp_path, monkeypatch):
    folder = put(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(comp.stores.cache, "open", lambda path, mode, **others: Full(path, "a+"), raising=False)
        held = hold(folder, "exp002 train")
    with held:
        assert not remove(folder)
    assert list_entries(tmp_path)[0].by == ("exp001 train",) and remove(folder)


def test_a_store_is_held_also_where_its_time_cannot_be_set(tmp_path, monkeypatch):
    folder = put(tmp_path)

    def refuse(*given: object, **others: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        held = hold(folder)
    with held:
        assert not remove(folder)


# ---- two at once ---------------------------------------------------------------------------------------------------------


@contextmanager
def another_asks(cache: Path, folder: Path) -> Iterator[None]:
    """Somebody else who makes room, and is just asking whether a store is held."""
    asking = threading.Event()

    def ask() -> None:
        with room_lock(cache), open(folder / "used", "r+b") as file:
            LOCK(file, fcntl.LOCK_EX)
            asking.set()
            time.sleep(0.3)

    other = threading.Thread(target=ask)
    other.start()
    assert asking.wait(10)
    yield
    other.join()


def test_who_asks_is_not_taken_for_a_holder_by_who_clears(tmp_path):
    folder = put(tmp_path)
    with another_asks(tmp_path, folder):
        assert [entry.key for entry in clear_cache(tmp_path)] == ["a"]


def test_nor_by_who_lists(tiny):
    cache = tiny.project.cache
    folder = put(cache)
    with another_asks(cache, folder):
        [store] = tiny.comp("cache", "--json").json["stores"]
    assert not store["in_use"]


# ---- built anew ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "stored"), [("1", True), ("0", False)])
def test_a_store_that_is_built_anew_is_still_held_by_who_had_it_open(tmp_path, monkeypatch, limit, stored):
    first = open_here(tmp_path)
    os.truncate(first.folder / "pixels.u8", 10)
    (first.folder / "features-1.npy").write_bytes(b"of the old pixels")
    monkeypatch.setenv("COMP_CACHE_GB", limit)
    again = open_here(tmp_path)
    assert again.stored is stored and again.folder == first.folder
    assert {path.name for path in again.folder.iterdir()} == {"store.json", "used", *(["pixels.u8"] if stored else [])}
    del again
    assert not remove(first.folder)
    first.held.close()
    assert remove(first.folder)
