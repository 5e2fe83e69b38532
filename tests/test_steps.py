"""Preprocess steps, and stores of what they make; stacks of several images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.api import STACK, Tables
from comp.catalog import build_catalog
from comp.errors import ImageError, PluginError
from comp.images import find_missing, probe_images, read_own
from comp.steps import NO_STEPS, Steps, open_steps
from comp.stores.store import open_store
from comp.stores.stored import ImageStore


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for value in (10, 20, 30):
        Image.new("RGB", (value, 8), (value, 0, 0)).save(tmp_path / f"images/{value}.png")
    return tmp_path / "images"


def open_at(images: Path, refs: list[str], **others: object) -> ImageStore:
    wishes = {"read": None, "channels": 3, "steps": NO_STEPS, **others}
    return open_store(
        refs, images, wishes["read"], (4, 6), "squash", wishes["channels"], images.parent / "cache", steps=wishes["steps"]
    )  # fmt: skip


def cut_left(image: np.ndarray, ref: str) -> np.ndarray:
    return image[:, : image.shape[1] // 2]


def test_a_step_sees_the_whole_image_in_its_own_size(images: Path) -> None:
    seen = []
    look = Steps((lambda image, ref: seen.append((image.shape, ref)) or image,), ("look",), "1")
    store = open_at(images, ["30.png"], steps=look)
    assert seen == [((8, 30, 3), "30.png")] and store.pixels.shape == (1, 4, 6, 3)


def test_another_step_another_store_and_the_same_step_the_same(images: Path) -> None:
    refs = ["10.png", "20.png"]
    folders = [open_at(images, refs, steps=steps).folder for steps in (NO_STEPS, Steps((cut_left,), ("cut",), "a"))]
    assert folders[0] != folders[1] == open_at(images, refs, steps=Steps((cut_left,), ("cut",), "a")).folder
    assert open_at(images, refs, steps=Steps((cut_left,), ("cut",), "b")).folder not in folders


class Boxed:
    def __init__(self, box: str) -> None:
        self.box = box

    def __call__(self, image: np.ndarray, ref: str) -> np.ndarray:
        return image

    def key(self, ref: str) -> str:
        return self.box if ref == "10.png" else ""


def test_what_a_step_knows_of_one_image_is_in_the_stores_key(images: Path) -> None:
    refs = ["10.png", "20.png"]
    one, other = (open_at(images, refs, steps=Steps((Boxed(box),), ("box",), "a")).folder for box in ("1,2", "3,4"))
    assert one != other
    assert open_at(images, refs[1:], steps=Steps((Boxed("1,2"),), ("box",), "a")).folder == open_at(
        images, refs[1:], steps=Steps((Boxed("3,4"),), ("box",), "a")
    ).folder  # fmt: skip


def test_a_step_that_fails_is_a_bad_image(images: Path) -> None:
    def fail(image: np.ndarray, ref: str) -> np.ndarray:
        return image / 2 if ref == "10.png" else {}["face"]

    with pytest.raises(ImageError) as caught:
        open_at(images, ["10.png", "20.png"], steps=Steps((fail,), ("fail",), "a"))
    assert "10.png: preprocess 'fail' returned float64 array of shape (8, 10, 3); wanted" in str(caught.value)
    assert "20.png: preprocess 'fail' raised KeyError: 'face'" in str(caught.value)


def test_steps_of_a_manifest(tmp_path: Path) -> None:
    tables = Tables(pd.DataFrame({"row_id": [], "id": [], "image": []}), None, None, "id", (), (), tmp_path)
    catalog = build_catalog(None)
    assert not open_steps(catalog, [], tables, tmp_path)
    steps = open_steps(catalog, [{"use": "square"}, {"use": "clahe"}], tables, tmp_path)
    assert steps(np.zeros((4, 8, 3), np.uint8), "a").shape == (8, 8, 3) and steps.uses == ("square", "clahe")
    again = open_steps(catalog, [{"use": "square", "grey": True}, {"use": "clahe"}], tables, tmp_path)
    assert again.name != steps.name == open_steps(catalog, [{"use": "square"}, {"use": "clahe"}], tables, tmp_path).name
    with pytest.raises(PluginError, match="clip is -1"):
        open_steps(catalog, [{"use": "clahe", "clip": -1}], tables, tmp_path)


# ---- stacks --------------------------------------------------------------------------------------------------------------


def test_a_stacks_images_lie_one_after_another_and_a_missing_one_is_black(images: Path) -> None:
    store = open_at(images, [f"10.png{STACK}30.png", f"{STACK}20.png"], channels=6)
    assert store.pixels[0, 0, 0].tolist() == [10, 0, 0, 30, 0, 0] and store.pixels[1, 0, 0].tolist() == [0, 0, 0, 20, 0, 0]
    grey = open_at(images, [f"10.png{STACK}30.png"], channels=2)
    assert grey.pixels[0, 0, 0].tolist() == [3, 9]
    with pytest.raises(ImageError, match="a stack of 2 images, but image.channels is 3; wanted a multiple"):
        open_at(images, [f"10.png{STACK}20.png"])


def test_a_stack_is_made_anew_when_one_of_its_images_changes(images: Path) -> None:
    refs = [f"10.png{STACK}20.png"]
    before = open_at(images, refs, channels=6)
    Image.new("RGB", (9, 9), (99, 0, 0)).save(images / "20.png")
    os.utime(images / "20.png", (1, 1))
    assert open_at(images, refs, channels=6).pixels[0, 0, 0, 3] == 99 != before.pixels[0, 0, 0, 3]


def test_missing_images_of_stacks_are_found(images: Path) -> None:
    refs = [f"10.png{STACK}", f"20.png{STACK}no.png", "deep/no.png"]
    assert find_missing(refs, images, None) == refs[1:]
    probe = probe_images(refs, images)
    assert probe.looked == 2 and probe.bad == {"no.png": "there is no such file", "deep/no.png": "there is no such file"}


# ---- readers -------------------------------------------------------------------------------------------------------------


class ReadArchive:
    """Every image from one file, in bytes."""

    key = "1"

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, ref: str) -> bytes:
        return b"" if ref == "empty" else (self.root / "10.png").read_bytes()

    def sources(self, ref: str) -> list[str]:
        return ["none.zip" if ref == "x/lost" else "10.png"]


def test_a_reader_may_give_a_files_bytes(images: Path) -> None:
    read = ReadArchive(images)
    assert read_own(read, "a").shape == (8, 10, 3) and read_own(read, "a", channels=1).shape == (8, 10, 1)
    with pytest.raises(ImageError, match=r"the file is empty \(0 bytes\)"):
        read_own(read, "empty")
    assert find_missing(["a", "x/lost"], images, read) == ["x/lost"]


def test_a_readers_key_and_sources_name_the_store(images: Path) -> None:
    read = ReadArchive(images)
    first = open_at(images, ["a", "b"], read=read).folder
    assert open_at(images, ["a", "b"], read=ReadArchive(images)).folder == first
    read.key = "2"
    assert open_at(images, ["a", "b"], read=read).folder != first
    os.utime(images / "10.png", (1, 1))
    assert open_at(images, ["a", "b"], read=ReadArchive(images)).folder != first
