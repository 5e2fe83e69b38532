"""The cache: what it may take, which store goes first, and which never."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comp.stores.cache
from comp.errors import WorkspaceError
from comp.stores.cache import clear_cache, hold, list_entries, lock_of, make_room, read_limit, remove, sweep
from comp.stores.store import open_store
from comp.stores.stored import ImageStore

EACH = 100 * 2**10
HOLDER = """
import sys, time
from pathlib import Path
from comp.stores.cache import hold

held = hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
REMOVER = """
import os, shutil, sys
from pathlib import Path
import comp.stores.cache

shutil.rmtree = lambda path, **others: os._exit(9) if Path(path).exists() else None
comp.stores.cache.remove(Path(sys.argv[1]))
"""
TRAINER = """
import sys
from pathlib import Path
from comp.stores.store import open_store

root, name = Path(sys.argv[1]), sys.argv[2]
refs = sorted(path.name for path in (root / name).iterdir())
store = open_store(refs, root / name, None, (64, 64), "squash", 3, root / "cache", notice=lambda text: print(text, flush=True))
print("open", store.stored, flush=True)
sys.stdin.read()
"""


def put(cache: Path, key: str, age_s: float, count: int = EACH) -> Path:
    """A folder like a store's, last used so long ago."""
    folder = cache / key
    folder.mkdir(parents=True)
    (folder / "pixels.u8").write_bytes(bytes(count))
    hold(folder, f"exp001 {key}").close()
    os.utime(folder / "used", times=(time.time() - age_s,) * 2)
    return folder


def limit_to(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setenv("COMP_CACHE_GB", str(count / 2**30))


def list_keys(cache: Path) -> list[str]:
    return [entry.key for entry in list_entries(cache)]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def make_images(folder: Path, count: int, colour: int = 0) -> list[str]:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (64, 64), (number, colour, 0)).save(folder / f"{number:02}.png")
    return [f"{number:02}.png" for number in range(count)]


def open_here(root: Path, name: str, notices: list[str] | None = None, by: str = "") -> ImageStore:
    refs = sorted(path.name for path in (root / name).iterdir())
    notice = None if notices is None else notices.append
    return open_store(refs, root / name, None, (64, 64), "squash", 3, root / "cache", notice=notice, by=by)


# ---- the limit -----------------------------------------------------------------------------------------------------------


def test_the_limit_is_what_the_machine_says(tmp_path, monkeypatch):
    monkeypatch.setenv("COMP_CACHE_GB", "1.5")
    assert read_limit(tmp_path) == 1.5 * 2**30
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    assert read_limit(tmp_path) == 0


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(tmp_path, monkeypatch, given):
    monkeypatch.setenv("COMP_CACHE_GB", given)
    with pytest.raises(WorkspaceError, match=f"COMP_CACHE_GB is '{given}'; wanted"):
        read_limit(tmp_path)


def test_without_one_it_is_a_share_of_the_disk_whatever_the_cache_takes_of_it(tmp_path, monkeypatch):
    monkeypatch.delenv("COMP_CACHE_GB", raising=False)
    free = 2**30

    def disk_usage(path):
        taken = sum(file.stat().st_size for file in tmp_path.rglob("pixels.u8"))
        return comp.stores.cache.shutil._ntuple_diskusage(2**40, 0, free - taken)

    monkeypatch.setattr(comp.stores.cache.shutil, "disk_usage", disk_usage)
    assert read_limit(tmp_path / "cache" / "deep") == int(0.8 * free)
    put(tmp_path / "cache", "a", 0)
    assert read_limit(tmp_path / "cache") == pytest.approx(0.8 * free, abs=100)


# ---- which goes ----------------------------------------------------------------------------------------------------------


def test_what_was_used_longest_ago_goes_first_and_no_more_than_is_needed(tmp_path, monkeypatch):
    for key, age_s in (("new", 10), ("old", 300), ("middle", 200)):
        put(tmp_path, key, age_s)
    limit_to(monkeypatch, 3.5 * EACH)
    assert make_room(tmp_path, EACH // 4) == "" and list_keys(tmp_path) == ["new", "middle", "old"]
    assert make_room(tmp_path, EACH) == "" and list_keys(tmp_path) == ["new", "middle"]
    assert make_room(tmp_path, 3 * EACH, keep="middle") != "" and list_keys(tmp_path) == ["new", "middle"]


def test_what_does_not_fit_at_all_drives_nothing_out(tmp_path, monkeypatch):
    put(tmp_path, "a", 10)
    limit_to(monkeypatch, 2 * EACH)
    assert make_room(tmp_path, 3 * EACH) == "0.2 MB is the cache's limit (COMP_CACHE_GB)"
    assert list_keys(tmp_path) == ["a"]


def test_a_limit_that_was_lowered_is_kept_to(tmp_path, monkeypatch):
    put(tmp_path, "a", 10), put(tmp_path, "b", 20), put(tmp_path, "c", 30)
    limit_to(monkeypatch, 1.5 * EACH)
    assert make_room(tmp_path, 0) == "" and list_keys(tmp_path) == ["a"]


def test_the_disk_is_a_limit_too(tmp_path, monkeypatch):
    put(tmp_path, "a", 10), put(tmp_path, "b", 20)
    limit_to(monkeypatch, 2**40)
    free = 64 * 2**20 + EACH // 2
    monkeypatch.setattr(
        comp.stores.cache.shutil, "disk_usage", lambda path: comp.stores.cache.shutil._ntuple_diskusage(2**40, 0, free)
    )
    assert make_room(tmp_path, EACH) == "" and list_keys(tmp_path) == ["a"]
    assert make_room(tmp_path, 9 * EACH) == "the disk has 64.0 MB free" and list_keys(tmp_path) == ["a"]


def test_features_count_with_their_store_and_go_with_it(tmp_path, monkeypatch):
    old = put(tmp_path, "old", 20)
    (old / "features-1.npy").write_bytes(bytes(2 * EACH))
    put(tmp_path, "new", 10)
    [_, entry] = list_entries(tmp_path)
    assert entry.feature_bytes == 2 * EACH and 3 * EACH <= entry.bytes <= 3 * EACH + 100
    limit_to(monkeypatch, 3.5 * EACH)
    assert make_room(tmp_path, EACH) == "" and not old.exists()


# ---- which stays ---------------------------------------------------------------------------------------------------------


def test_a_store_that_another_process_uses_stays_until_that_dies(tmp_path, monkeypatch):
    folder = put(tmp_path, "a", 300)
    limit_to(monkeypatch, EACH)
    process = start(HOLDER, folder)
    assert process.stdout.readline() == "held\n"
    os.utime(folder / "used", times=(0, 0))
    assert list_entries(tmp_path)[0].in_use and not remove(folder)
    assert "what is in use takes the rest" in make_room(tmp_path, EACH)
    assert clear_cache(tmp_path) == [] and folder.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list_entries(tmp_path)[0].in_use
    assert make_room(tmp_path, EACH) == "" and not folder.exists()


def test_what_is_being_built_stays_and_counts(tmp_path, monkeypatch):
    folder = put(tmp_path, "a.unfinished", 300)
    limit_to(monkeypatch, 1.5 * EACH)
    with lock_of(tmp_path / "a"):
        assert make_room(tmp_path, EACH) != "" and folder.exists()
    assert make_room(tmp_path, EACH) == "" and not folder.exists()


def test_an_open_store_cannot_be_removed_and_a_closed_one_can(tmp_path):
    make_images(tmp_path / "images", 3)
    store = open_here(tmp_path, "images")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.pixels.shape == (3, 64, 64, 3)  # a copy in a worker holds it as well, once it is mapped
    del store
    assert not remove(copy.folder)
    folder = copy.folder
    del copy
    assert remove(folder)


def test_a_store_that_has_gone_is_said(tmp_path):
    make_images(tmp_path / "images", 3)
    packed = pickle.dumps(open_here(tmp_path, "images"))
    assert len(clear_cache(tmp_path / "cache")) == 1
    with pytest.raises(WorkspaceError, match="cannot be opened: No such file"):
        pickle.loads(packed).pixels  # noqa: B018


def test_a_removal_that_was_killed_is_finished_by_the_next_build(tmp_path):
    make_images(tmp_path / "images", 3)
    folder = open_here(tmp_path, "images").folder
    assert start(REMOVER, folder).wait() == 9
    assert not folder.exists() and list((tmp_path / "cache").glob("*.unfinished"))
    store = open_here(tmp_path, "images")
    assert store.folder == folder and store.take(np.arange(3))[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert not list((tmp_path / "cache").glob("*.unfinished"))


def test_a_sweep_leaves_what_is_being_built(tmp_path):
    put(tmp_path, "a.unfinished", 0), put(tmp_path, "b.unfinished", 0)
    with lock_of(tmp_path / "a"):
        sweep(tmp_path)
    assert list_keys(tmp_path) == ["a.unfinished"]


# ---- with real stores ----------------------------------------------------------------------------------------------------


def test_opening_stamps_and_says_who(tmp_path):
    make_images(tmp_path / "images", 2)
    folder = open_here(tmp_path, "images", by="exp001 train").folder
    os.utime(folder / "used", times=(0, 0))
    for by in ("exp001 train", "exp002 train"):
        open_here(tmp_path, "images", by=by)
    [entry] = list_entries(tmp_path / "cache")
    assert entry.by == ("exp001 train", "exp002 train") and time.time() - entry.used_at < 60
    assert (entry.images, entry.size, entry.channels, entry.stored, entry.in_use) == (2, (64, 64), 3, True, False)


def test_building_drives_out_the_oldest_but_never_one_that_is_open(tmp_path, monkeypatch):
    for name, colour in (("first", 1), ("second", 2), ("third", 3)):
        make_images(tmp_path / name, 8, colour)
    limit_to(monkeypatch, 2.5 * 8 * 64 * 64 * 3)
    first = open_here(tmp_path, "first")
    second = open_here(tmp_path, "second").folder
    os.utime(first.folder / "used", times=(0, 0))
    third = open_here(tmp_path, "third")
    assert third.stored and first.folder.exists() and not second.exists()
    assert (first.take(np.array([0]))[0, 0, 0] == [0, 1, 0]).all()


def test_two_builds_at_once_do_not_count_on_the_same_room(tmp_path, monkeypatch):
    for name in ("first", "second"):
        make_images(tmp_path / name, 8, len(name))
    limit_to(monkeypatch, 1.5 * 8 * 64 * 64 * 3)
    runs = [start(TRAINER, tmp_path, name) for name in ("first", "second")]
    said = [[run.stdout.readline()] for run in runs]
    for run, lines in zip(runs, said):
        if not lines[0].startswith("open"):
            lines.append(run.stdout.readline())
    assert sorted(lines[-1] for lines in said) == ["open False\n", "open True\n"]
    assert sum("what is in use takes the rest" in lines[0] for lines in said) == 1
    for run in runs:
        run.communicate()


def test_a_removal_does_not_wait_for_a_build(tmp_path):
    folder = put(tmp_path, "a", 0)
    started = time.monotonic()
    with lock_of(folder):
        assert not remove(folder)
    assert time.monotonic() - started < 1 and remove(folder)
