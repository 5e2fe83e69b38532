"""Images without a store: the same pixels, the same bad images, in this process and in others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import comp.stores.store_source
from comp.api import STACK
from comp.catalog import build_catalog
from comp.errors import ImageError
from comp.project import Project
from comp.steps import open_steps
from comp.stores.store import open_store
from comp.stores.stored import ImageStore

ROTATED = 6
SIZE = (40, 56)


def make_images(root: Path, count: int = 12) -> list[str]:
    """Photographs four times as large as they are wanted, some rotated by EXIF, and small ones of other kinds."""
    root.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        shape = (400 + 10 * number, 500) if number % 3 else (30, 20 + number)
        smooth = cv2.resize(generator.integers(0, 256, (9, 9, 3), np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC)
        exif = Image.Exif()
        exif[0x0112] = ROTATED if number % 2 else 1
        kind = "png" if number % 5 == 0 else "jpg"
        Image.fromarray(smooth).save(root / f"{number:02}.{kind}", quality=90, exif=exif)
    return sorted(path.name for path in root.iterdir())


def open_both(tmp_path: Path, refs: list[str], monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[ImageStore, ImageStore]:
    """The store, and the same images without one."""
    root = given.pop("root", tmp_path / "images")
    others = {"read": None, "size": SIZE, "fit": "squash", "channels": 3} | given
    positional = [others.pop(key) for key in ("read", "size", "fit", "channels")]
    stored = open_store(refs, root, *positional, tmp_path / "cache", workers=3, **others)
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    unstored = open_store(refs, root, *positional, tmp_path / "none", workers=3, **others)
    assert stored.stored and not unstored.stored
    return stored, unstored


def demand_equal(stored: ImageStore, unstored: ImageStore) -> None:
    positions = np.r_[np.arange(len(stored))[::-1], 0, 0]
    assert len(stored) == len(unstored) and stored.form == unstored.form and stored.bad == unstored.bad
    assert np.array_equal(stored.rows, unstored.rows)
    assert np.array_equal(stored.take(positions), unstored.take(positions))
    pairs = zip(stored.pictures(positions), unstored.pictures(positions), strict=True)
    assert all(np.array_equal(one, other) and other.flags.c_contiguous for one, other in pairs)


@pytest.mark.parametrize("given", [{}, {"fit": "pad"}, {"fit": "crop", "size": (24, 24)}, {"channels": 1}])
def test_pixels_are_those_of_the_store(tmp_path, monkeypatch, given):
    demand_equal(*open_both(tmp_path, make_images(tmp_path / "images"), monkeypatch, **given))


def test_stacks_too(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    stacks = [f"{one}{STACK}{other}" for one, other in zip(refs, refs[1:])] + [f"{refs[0]}{STACK}"]
    demand_equal(*open_both(tmp_path, stacks, monkeypatch, channels=6))


def test_bad_images_are_known_at_once_and_are_the_mean_colour(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    (tmp_path / "images" / refs[3]).write_bytes(b"no image")
    stored, unstored = open_both(tmp_path, [*refs, "gone.png"], monkeypatch, on_bad="mean")
    assert set(unstored.bad) == {3, 12} and unstored.bad[12] == "there is no such file"
    demand_equal(stored, unstored)
    with pytest.raises(ImageError, match="2 of 13 images cannot be read"):
        open_store([*refs, "gone.png"], tmp_path / "images", None, SIZE, "squash", 3, tmp_path / "none")


def test_it_says_so_and_what_it_costs(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    said: list[str] = []
    open_both(tmp_path, refs, monkeypatch, notice=said.append)
    [text] = said
    assert text.startswith("12 images of 40 x 56 px would take 0.1 MB in the cache; 0.0 MB is the cache's limit (COMP_CACHE_GB).")
    assert "ms of one core an image" in text


def test_images_are_looked_at_once_and_stored_when_there_is_room(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    seen: list[int] = []

    def open_again() -> ImageStore:
        root, cache = tmp_path / "images", tmp_path / "cache"
        return open_store(refs, root, None, SIZE, "squash", 3, cache, progress=lambda done, total: seen.append(done))

    monkeypatch.setenv("COMP_CACHE_GB", "0")
    first = open_again()
    assert not first.stored and seen[-1] == 12
    count = len(seen)
    assert open_again().folder == first.folder and len(seen) == count
    monkeypatch.setenv("COMP_CACHE_GB", "1")
    assert open_again().stored and len(seen) > count


def test_a_full_disk_stores_nothing(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40, 0))
    monkeypatch.setenv("COMP_CACHE_GB", "10")
    said: list[str] = []
    root, cache = tmp_path / "images", tmp_path / "cache"
    store = open_store(refs, root, None, SIZE, "squash", 3, cache, notice=said.append)
    assert not store.stored and "the disk has 0.0 MB free" in said[0] and not list(cache.glob("*/pixels.u8"))


def test_an_image_that_has_gone_since_is_named(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    _, unstored = open_both(tmp_path, refs, monkeypatch)
    os.unlink(tmp_path / "images" / refs[4])
    with pytest.raises(ImageError, match=rf"{refs[4]} can no longer be read \(there is no such file\)"):
        unstored.take(np.arange(12))


def test_several_threads_read_here_and_one_elsewhere(tmp_path, monkeypatch):
    refs = make_images(tmp_path / "images")
    _, unstored = open_both(tmp_path, refs, monkeypatch)
    copy = pickle.loads(pickle.dumps(unstored))
    threads: set[str] = set()
    read = comp.stores.store_source.read_image

    def note(*arguments: Any) -> np.ndarray:
        import threading

        threads.add(threading.current_thread().name)
        return read(*arguments)

    monkeypatch.setattr(comp.stores.store_source, "read_image", note)
    assert np.array_equal(copy.take(np.arange(12)), unstored.take(np.arange(12)))
    assert "MainThread" in threads and len(threads) > 2


def make_archive(tmp_path: Path) -> tuple[Project, list[str]]:
    """A workspace whose images lie in a zip."""
    refs = make_images(tmp_path / "loose")
    data = tmp_path / "data"
    data.mkdir()
    with zipfile.ZipFile(data / "train.zip", "w") as archive:
        for ref in refs:
            archive.write(tmp_path / "loose" / ref, ref)
    (data / "train.csv").write_text("\n".join(["name,label", *(f"{ref},{number % 2}" for number, ref in enumerate(refs))]) + "\n")
    return Project(tmp_path), refs


def take_all(store: ImageStore, asked: Any, answers: Any) -> None:
    for _ in range(asked):
        answers.put(store.take(np.arange(len(store))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_the_same_archive_side_by_side(tmp_path, monkeypatch, method):
    project, _ = make_archive(tmp_path)
    catalog = build_catalog(project)
    spec = {"use": "csv", "data": "data", "train": "train.csv", "images": "train.zip", "id": "name", "target": "label"}
    tables = catalog.build("dataset", spec, root=project.root, facts=None)
    steps = open_steps(catalog, [{"use": "square"}], tables, project.root)  # a closure, which cannot be pickled itself
    refs = tables.train["image"].tolist()
    stored, unstored = open_both(tmp_path, refs, monkeypatch, root=tables.root, read=tables.read, steps=steps)
    wanted = stored.take(np.arange(12))
    assert np.array_equal(unstored.take(np.arange(12)), wanted)
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    others = [context.Process(target=take_all, args=(unstored, 5, answers)) for _ in range(2)]
    for process in others:
        process.start()
    assert all(np.array_equal(answers.get(timeout=60), wanted) for _ in range(10))
    for process in others:
        process.join()
