"""The image store: what it holds, when it is built anew, and what it does with images that cannot be read."""

from __future__ import annotations

import os
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comp.errors import ImageError
from comp.images import read_image, resize_image
from comp.stores.store import open_store
from comp.stores.stored import ImageStore


def make_images(root: Path, count: int = 5) -> list[str]:
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)).save(root / f"{number}.png")
    return [f"{number}.png" for number in range(count)]


def open_at(tmp_path: Path, refs: list[str], built: list[int] | None = None, **others: object) -> ImageStore:
    """A store of 8 x 12 pixels; `built` receives how many images were read, as often as that is told."""
    settings = {"read": None, "size": (8, 12), "fit": "squash", "channels": 3, "on_bad": "error"} | others
    note = None if built is None else lambda done, total: built.append(done)
    read, size, fit, channels, on_bad = (settings[key] for key in ("read", "size", "fit", "channels", "on_bad"))
    return open_store(refs, tmp_path / "images", read, size, fit, channels, tmp_path / "cache", on_bad, note, 2)


def test_it_holds_every_image_at_its_position(tmp_path: Path) -> None:
    refs = make_images(tmp_path / "images", 70)
    built: list[int] = []
    store = open_at(tmp_path, refs, built)
    assert store.pixels.shape == (70, 8, 12, 3) and len(store) == 70 and store.bad == {}
    assert built == sorted(set(built)) and built[-1] == 70
    for position in (0, 33, 69):
        wanted = resize_image(read_image(tmp_path / "images" / refs[position]), (8, 12))
        assert np.array_equal(store.take(np.array([position]))[0], wanted)


def test_equal_references_are_stored_once(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    store = open_at(tmp_path, ["1.png", "0.png", "1.png"])
    assert store.pixels.shape[0] == 2 and store.rows.tolist() == [0, 1, 0]
    taken = store.take(np.array([2, 0, 1]))
    assert np.array_equal(taken[0], taken[1]) and not np.array_equal(taken[0], taken[2])


def test_it_is_built_once_and_anew_only_when_something_changed(tmp_path: Path) -> None:
    refs = make_images(tmp_path / "images")
    built: list[int] = []
    first = open_at(tmp_path, refs, built)
    assert open_at(tmp_path, refs, built).folder == first.folder and built.count(5) == 1
    for changed in ({"size": (9, 12)}, {"fit": "pad"}, {"channels": 1}):
        assert open_at(tmp_path, refs, built, **changed).folder != first.folder
    assert built.count(5) == 4
    Image.new("RGB", (30, 20), (9, 9, 9)).save(tmp_path / "images" / "0.png")
    assert (open_at(tmp_path, refs, built).take(np.array([0])) == 9).all()
    assert built.count(5) == 5


def test_it_pickles_as_a_path(tmp_path: Path) -> None:
    store = open_at(tmp_path, make_images(tmp_path / "images"), size=(200, 200))
    store.pixels  # noqa: B018  mapped now, and yet not part of the pickle
    packed = pickle.dumps(store)
    assert len(packed) < 2_000
    assert np.array_equal(pickle.loads(packed).pixels, store.pixels)


def test_its_pixels_cannot_be_written(tmp_path: Path) -> None:
    store = open_at(tmp_path, make_images(tmp_path / "images"))
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 0


def test_no_images_make_an_empty_store(tmp_path: Path) -> None:
    store = open_at(tmp_path, [])
    assert len(store) == 0 and store.take(np.zeros(0, np.int64)).shape == (0, 8, 12, 3)


def test_bad_images_are_all_named_at_once(tmp_path: Path) -> None:
    refs = make_images(tmp_path / "images")
    (tmp_path / "images" / "1.png").write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        open_at(tmp_path, [*refs, "gone.png", "1.png"])
    text = str(caught.value)
    assert text.startswith("2 of 6 images cannot be read:")
    assert "1.png: the file is empty (0 bytes)" in text and "gone.png: there is no such file" in text
    assert "on_bad_image: skip" in text


@pytest.mark.parametrize("on_bad", ["skip", "mean"])
def test_bad_images_are_recorded_and_filled_with_the_mean(tmp_path: Path, on_bad: str) -> None:
    (tmp_path / "images").mkdir()
    for name, colour in (("a", (10, 20, 30)), ("b", (20, 40, 91))):
        Image.new("RGB", (5, 5), colour).save(tmp_path / "images" / f"{name}.png")
    refs = ["a.png", "gone.png", "b.png", "gone.png"]
    for _ in range(2):  # built, then from the cache
        store = open_at(tmp_path, refs, on_bad=on_bad)
        assert store.bad == {1: "there is no such file", 3: "there is no such file"}
        assert (store.take(np.array([3])) == [15, 30, 60]).all()
        assert (store.take(np.array([2])) == [20, 40, 91]).all()


def test_a_set_without_one_readable_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError, match="2 of 2 images"):
        open_at(tmp_path, ["x.png", "y.png"], on_bad="mean")


def read_number(ref: str, unreadable: Path | None = None) -> np.ndarray:
    if unreadable is not None and unreadable.exists():
        raise OSError("not mounted")
    return np.full((4, 4), int(ref), np.uint8)


def test_a_reader_of_the_datasets_own_fills_it(tmp_path: Path) -> None:
    built: list[int] = []
    store = open_at(tmp_path, ["7", "9"], built, read=read_number, channels=1)
    assert store.take(np.array([1, 0]))[:, 0, 0, 0].tolist() == [9, 7]
    open_at(tmp_path, ["7", "9"], built, read=read_number, channels=1)
    assert built == [1, 2]


def test_what_a_reader_reads_is_part_of_what_the_store_is_called_by(tmp_path: Path) -> None:
    values = {"a": 1}

    def read(ref: str) -> np.ndarray:
        return np.full((4, 4, 3), values[ref], np.uint8)

    first = open_at(tmp_path, ["a"], read=read)
    values["a"] = 2
    second = open_at(tmp_path, ["a"], read=read)
    assert (first.pixels == 1).all() and (second.pixels == 2).all()


def test_what_a_reader_raises_is_a_bad_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="x: the dataset's reader raised ValueError"):
        open_at(tmp_path, ["1", "x"], read=read_number, channels=1)


def test_images_that_have_become_readable_are_read_again(tmp_path: Path) -> None:
    refs = make_images(tmp_path / "images", 2)
    sign = tmp_path / "unmounted"

    def read(ref: str) -> np.ndarray:
        if ref == "1.png" and sign.exists():
            raise OSError("not mounted")
        return read_image(tmp_path / "images" / ref)

    sign.touch()
    assert open_at(tmp_path, refs, read=read, on_bad="skip").bad == {1: "the dataset's reader raised OSError: not mounted"}
    os.unlink(sign)
    assert open_at(tmp_path, refs, read=read).bad == {}


def test_a_partial_is_a_reader(tmp_path: Path) -> None:
    store = open_at(tmp_path, ["3"], read=partial(read_number, unreadable=tmp_path / "no"), channels=1)
    assert (store.pixels == 3).all()
