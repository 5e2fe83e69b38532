"""Building a store: killed builds, two builders at once, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comp.stores.store
import comp.stores.store_source
from comp.errors import ImageError, WorkspaceError
from comp.stores.store import open_store
from comp.stores.stored import ImageStore

SLOW_BUILD = """
import sys, time
from pathlib import Path
import comp.stores.store_source
from comp.stores.store import open_store

root = Path(sys.argv[1])
read_quickly = comp.stores.store_source.read_image
def read_slowly(*arguments):
    time.sleep(0.02)
    return read_quickly(*arguments)
comp.stores.store_source.read_image = read_slowly
refs = sorted(path.name for path in (root / "images").iterdir())
started = lambda done, total: print("building", done, flush=True)
store = open_store(refs, root / "images", None, (8, 8), "squash", 3, root / "cache", "error", started, 1)
print("done", len(store), flush=True)
"""


def make_images(root: Path, count: int = 96) -> list[str]:
    (root / "images").mkdir()
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / "images" / f"{number:03}.png")
    return [f"{number:03}.png" for number in range(count)]


def start_slow_build(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("building")
    return process


def open_here(root: Path, refs: list[str], notices: list[str]) -> ImageStore:
    return open_store(refs, root / "images", None, (8, 8), "squash", 3, root / "cache", notice=notices.append)


def test_a_killed_build_is_made_good_by_the_next(tmp_path: Path) -> None:
    refs = make_images(tmp_path)
    process = start_slow_build(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list((tmp_path / "cache").glob("*.unfinished"))
    notices: list[str] = []
    store = open_here(tmp_path, refs, notices)
    assert store.take(np.arange(96))[:, 0, 0, 0].tolist() == list(range(96)) and not notices
    assert not list((tmp_path / "cache").glob("*.unfinished"))


def test_what_a_killed_build_of_another_store_left_is_removed(tmp_path: Path) -> None:
    refs = make_images(tmp_path, 2)
    (tmp_path / "cache" / "0123456789abcdef.unfinished").mkdir(parents=True)
    open_here(tmp_path, refs, [])
    assert not (tmp_path / "cache" / "0123456789abcdef.unfinished").exists()


def test_a_second_builder_says_so_and_waits(tmp_path: Path) -> None:
    refs = make_images(tmp_path)
    process = start_slow_build(tmp_path)
    notices: list[str] = []
    store = open_here(tmp_path, refs, notices)
    output, _ = process.communicate()
    assert "done 96" in output and len(store) == 96
    assert len(notices) == 1 and "waiting" in notices[0]


def test_a_record_without_its_pixels_is_no_store(tmp_path: Path) -> None:
    refs = make_images(tmp_path, 3)
    folder = open_here(tmp_path, refs, []).folder
    os.truncate(folder / "pixels.u8", 10)
    assert open_here(tmp_path, refs, []).take(np.array([2]))[0, 0, 0].tolist() == [2, 0, 0]


def open_mended(root: Path, refs: list[str], patch: pytest.MonkeyPatch, notices: list[str]) -> tuple[ImageStore, ImageStore]:
    """A store of which an image could not be read, and what is opened when it can be."""
    read = comp.stores.store_source.read_image

    def refuse(path: Path, *others: object) -> np.ndarray:
        if path.name == refs[1]:
            raise ImageError(f"{path}: permission denied")
        return read(path, *others)

    def open_now() -> ImageStore:
        return open_store(refs, root / "images", None, (8, 8), "squash", 3, root / "cache", "mean", notice=notices.append)

    with patch.context() as refusing:
        refusing.setattr(comp.stores.store_source, "read_image", refuse)
        first = open_now()
    assert set(first.bad) == {1}
    patch.setenv("COMP_CACHE_GB", str(1.5 * len(refs) * 8 * 8 * 3 / 2**30))
    return first, open_now()


def test_a_better_store_takes_the_room_of_the_one_that_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs, notices = make_images(tmp_path, 12), []
    _, again = open_mended(tmp_path, refs, monkeypatch, notices)
    assert again.stored and not again.bad and not notices
    assert again.take(np.arange(12))[:, 0, 0, 0].tolist() == list(range(12))


def test_a_store_stays_where_a_better_one_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs, notices = make_images(tmp_path, 12), []
    monkeypatch.setattr(comp.stores.store, "reserve_store", refuse_second(comp.stores.store.reserve_store))
    first, again = open_mended(tmp_path, refs, monkeypatch, notices)
    assert again.stored and set(again.bad) == {1}
    [said] = notices
    assert said.endswith("can be by now, but there is no room to store them: the disk has 0.0 MB free.")
    assert np.array_equal(again.pixels, first.pixels)


def refuse_second(reserve: Callable[..., str]) -> Callable[..., str]:
    answers = iter(["", "the disk has 0.0 MB free"])
    return lambda *given: next(answers) or reserve(*given)


def test_a_disk_that_is_full_before_the_first_image_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = make_images(tmp_path, 3)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    notices: list[str] = []
    store = open_here(tmp_path, refs, notices)
    assert not store.stored and "the disk has filled up" in notices[0]
    assert store.take(np.arange(3))[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert not list((tmp_path / "cache").glob("*.unfinished"))


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = make_images(tmp_path, 3)

    def fail(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(WorkspaceError, match="No space left on device"):
            open_here(tmp_path, refs, [])
    assert not list((tmp_path / "cache").glob("[!.]*"))
    assert len(open_here(tmp_path, refs, [])) == 3


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    refs = make_images(tmp_path, 3)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(refs, tmp_path / "images", None, (8, 8), "squash", 3, tmp_path / "cache", "error", interrupt)
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_threads_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = make_images(tmp_path)
    seen: set[str] = set()
    read = comp.stores.store_source.read_image

    def note(*arguments: object) -> np.ndarray:
        seen.add(threading.current_thread().name)
        time.sleep(0.001)
        return read(*arguments)

    monkeypatch.setattr(comp.stores.store_source, "read_image", note)
    open_store(refs, tmp_path / "images", None, (8, 8), "squash", 3, tmp_path / "cache", workers=3)
    assert len(seen) == 3
