"""Building a store: killed builds, two builders at once, full disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comp.store_build
from comp.errors import WorkspaceError
from comp.store import ImageStore, open_store

SLOW_BUILD = """
import sys, time
from pathlib import Path
import comp.store_build
from comp.store import open_store

root = Path(sys.argv[1])
read_quickly = comp.store_build.read_image
def read_slowly(*arguments):
    time.sleep(0.02)
    return read_quickly(*arguments)
comp.store_build.read_image = read_slowly
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


def test_a_disk_without_room_is_said_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = make_images(tmp_path, 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30, 0))
    with pytest.raises(WorkspaceError, match=r"needs 0.0 GB in .*cache, where 0.0 GB are free"):
        open_here(tmp_path, refs, [])
    assert [path.name for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")] == []


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
    read = comp.store_build.read_image

    def note(*arguments: object) -> np.ndarray:
        seen.add(threading.current_thread().name)
        time.sleep(0.001)
        return read(*arguments)

    monkeypatch.setattr(comp.store_build, "read_image", note)
    open_store(refs, tmp_path / "images", None, (8, 8), "squash", 3, tmp_path / "cache", workers=3)
    assert len(seen) == 3
