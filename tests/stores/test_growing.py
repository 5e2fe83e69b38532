"""Stores that are looked at while they grow: what is there is given at once, what is not is waited for."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from comp.errors import ImageError, RunInterrupted
from comp.stores.growing import GrowingImages
from comp.stores.store import number_refs, open_store
from comp.stores.store_source import StoreForm

FORM = StoreForm((4, 6), "squash", 1)
NAMES = [f"{number}.png" for number in range(12)]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6), 20 * number, np.uint8))
    return tmp_path


class Gate:
    """A preprocess step that lets no image from the sixth on pass before it is opened."""

    name = "gate"

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, image: np.ndarray, ref: str) -> np.ndarray:
        assert int(ref.removesuffix(".png")) < 6 or self.opened.wait(20)
        return image

    def describe(self, ref: str) -> str:
        return ""

    def __bool__(self) -> bool:
        return True


def grow(folder: Path, gate: Gate, on_bad: str = "error", refs: list[str] = NAMES) -> GrowingImages:
    names, rows = number_refs(refs)
    given = (refs, folder, None, FORM.size, FORM.fit, FORM.channels, folder / "cache", on_bad)
    opening = partial(open_store, *given, workers=1, steps=gate)
    return GrowingImages(FORM, rows, len(names), lambda growth, progress: opening(progress=progress, growth=growth))


def test_what_is_written_is_given_while_the_rest_is_still_read(pictures: Path) -> None:
    gate = Gate()
    store = grow(pictures, gate, refs=[NAMES[4], *NAMES])  # the first reference comes twice
    assert len(store) == 13 and store.form == FORM
    early = store.take(np.array([0, 3, 5]))
    assert early[:, 0, 0, 0].tolist() == [80, 40, 80] and not gate.opened.is_set()
    threading.Timer(0.2, gate.opened.set).start()
    assert store.take(np.array([12, 1]))[:, 0, 0, 0].tolist() == [220, 0]
    assert store.stored and store.bad == {} and store.folder == store.whole.folder
    warm = grow(pictures, gate, refs=[NAMES[4], *NAMES])
    assert np.array_equal(warm.take(np.arange(13)), store.whole.take(np.arange(13)))


def test_a_bad_image_is_the_mean_of_all_which_is_waited_for(pictures: Path) -> None:
    (pictures / NAMES[2]).write_bytes(b"\x89PNG broken")
    gate = Gate()
    store = grow(pictures, gate, "mean")
    assert store.take(np.array([0, 1, 3]))[:, 0, 0, 0].tolist() == [0, 20, 60] and not gate.opened.is_set()
    threading.Timer(0.2, gate.opened.set).start()
    mean = round(20 * (sum(range(12)) - 2) / 11)
    assert store.take(np.array([2, 3]))[:, 0, 0, 0].tolist() == [mean, 60] and list(store.bad) == [2]


def test_bad_images_are_one_error_and_a_store_that_is_closed_leaves_nothing(pictures: Path) -> None:
    for name in (NAMES[1], NAMES[9]):
        (pictures / name).write_bytes(b"\x89PNG broken")
    gate = Gate()
    gate.opened.set()
    with pytest.raises(ImageError, match=r"2 of 12(.|\n)*1\.png(.|\n)*9\.png"):
        grow(pictures, gate).take(np.array([1]))
    gate = Gate()
    store = grow(pictures, gate, "mean", NAMES[2:])
    store.take(np.array([0]))
    threading.Timer(0.2, gate.opened.set).start()
    store.close()
    with pytest.raises(RunInterrupted):
        store.take(np.array([8]))
    # The store of the first case is whole, and lets an error be told from a picture; of the second nothing is left.
    assert [path.parent.joinpath("store.json").exists() for path in (pictures / "cache").glob("*/pixels.u8")] == [True]


def test_who_waits_for_a_store_that_is_closed_waits_no_longer(pictures: Path) -> None:
    gate, ended = Gate(), []
    store = grow(pictures, gate)
    store.take(np.array([0]))

    def wait() -> None:
        with pytest.raises(RunInterrupted, match="stopped while images were read"):
            store.take(np.array([8]))
        ended.append(gate.opened.is_set())

    waiting = threading.Thread(target=wait)
    waiting.start()
    closing = threading.Thread(target=store.close)  # which waits for the image that is being read
    closing.start()
    waiting.join(5)
    assert ended == [False]
    gate.opened.set()
    closing.join(5)
    assert not closing.is_alive()
