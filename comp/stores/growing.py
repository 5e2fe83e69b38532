"""Growing stores: images looked at while a thread still reads them into a store, so that a device need not wait for the whole.

An image that is not there yet is waited for. So is the whole store where an image cannot be read: what stands for it, and whether
it is an error, is known only at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comp.errors import RunInterrupted
from comp.stores.store_source import StoreForm

if TYPE_CHECKING:
    from comp.stores.stored import ImageStore


@dataclass
class Growth:
    """What of a store's pixels lies in its file already, for whoever looks at them meanwhile.

    Attributes:
        written: (images,) bool.
        pixels: (images, H, W, C) uint8, mapped from the file; None before there is one.
    """

    written: np.ndarray
    pixels: np.ndarray | None = None

    def begin(self, file: Path, form: StoreForm) -> None:
        self.pixels = np.asarray(np.memmap(file, np.uint8, "r", shape=(len(self.written), *form.shape)))


CLOSE_S = 10.0
STOPPED = "stopped while images were read"

OpenWhole = Callable[[Growth, Callable[[int, int], None]], "ImageStore"]
"""Opens the store; it keeps the growth up to date, and calls after every few images."""


class GrowingImages:
    """In place of an ImageStore; whatever asks for more than the pixels of some images waits for the whole store.

    Args:
        rows: (N,) int64, the stored row of each reference.
        count: how many rows there will be.
    """

    def __init__(self, form: StoreForm, rows: np.ndarray, count: int, open_whole: OpenWhole) -> None:
        self.form, self.rows = form, rows
        self._growth, self._closed = Growth(np.zeros(count, bool)), False
        self._moved = threading.Condition()
        self._opening: Future[ImageStore] = Future()
        # A daemon: who waits for another process to build the same store must not keep this one from ending.
        self._thread = threading.Thread(target=self._open, args=(open_whole,), daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(n,) positions -> (n, H, W, C) uint8, a copy; waits for them.

        Raises:
            ImageError: images that cannot be read, all of them at once.
            RunInterrupted: the store was closed before they were there.
        """
        rows = self.rows[positions]
        growth = self._growth
        with self._moved:
            self._moved.wait_for(lambda: self._closed or self._opening.done() or growth.written[rows].all())
        if self._opening.done():
            return self.whole.take(positions)
        if self._closed:
            raise RunInterrupted(STOPPED)
        return growth.pixels[rows]

    @property
    def whole(self) -> ImageStore:
        return self._opening.result()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def close(self) -> None:
        """Stop reading, and let nobody wait any longer; what was read of an unfinished store goes."""
        self._closed = True
        self._wake()
        self._thread.join(CLOSE_S)

    def _open(self, open_whole: OpenWhole) -> None:
        try:
            self._opening.set_result(open_whole(self._growth, self._tell))
        except BaseException as error:
            self._opening.set_exception(error)
        self._wake()

    def _tell(self, done: int, total: int) -> None:
        if self._closed:
            raise RunInterrupted(STOPPED)
        self._wake()

    def _wake(self) -> None:
        with self._moved:
            self._moved.notify_all()
