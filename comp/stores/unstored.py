"""Unstored images: those that the cache has no room for, read and resized anew each time they are looked at.

They are, to the last bit, what a store would hold.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from comp.errors import ImageError
from comp.images import bare_reason
from comp.stores.ahead import read_ahead
from comp.stores.store_build import Found
from comp.stores.store_source import Source
from comp.stores.stored import ImageStore

_DEPTH = 4
"""Images that wait, for each thread."""


def place_bad(names: Sequence[str], rows: np.ndarray, bad: dict[str, str]) -> dict[int, str]:
    """Reference -> reason becomes position -> reason."""
    why = {row: bad[ref] for row, ref in enumerate(names) if ref in bad} if bad else {}
    return {at: why[row] for at, row in enumerate(rows.tolist()) if row in why} if why else {}


class UnstoredImages(ImageStore):
    """In place of a store, but for `pixels`, of which there are none.

    The process that opened them reads with several threads; another one (a loader worker, one of many) with its own alone.

    Attributes:
        folder: where what is known of the images lies, and features may.
        rows: (N,) int64, which of the names each position is.
        bad: position -> why that image cannot be read; it is the mean colour of the readable ones.
        names: the references, each once.
        found: what a look at all of them has found.
    """

    stored = False

    def __init__(self, folder: Path, source: Source, names: Sequence[str], rows: np.ndarray, found: Found, threads: int) -> None:
        super().__init__(folder, source.form, rows, place_bad(names, rows, found.bad))
        self.names, self.found = names, found
        self._source, self.threads, self._process = source, threads, os.getpid()
        self._pool: ThreadPoolExecutor | None = None

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(n,) positions -> (n, H, W, C) uint8.

        Raises:
            ImageError: an image can no longer be read.
        """
        images = np.empty((len(positions), *self.form.shape), np.uint8)
        for at, image in enumerate(self.pictures(positions)):
            images[at] = image
        return images

    def pictures(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """(n,) positions -> each (H, W, C) uint8.

        Raises:
            ImageError: an image can no longer be read.
        """
        rows = self.rows[positions].tolist()
        pool = self._open_pool()
        return map(self._read, rows) if pool is None else read_ahead(self._read, rows, pool, _DEPTH * self.threads)

    def _read(self, row: int) -> np.ndarray:
        ref = self.names[row]
        if ref in self.found.bad:
            return np.full(self.form.shape, self.found.mean, np.uint8)
        try:
            return self._source(ref)
        except ImageError as error:
            why = bare_reason(error, self._source.root / ref)
            raise ImageError(f"{ref} can no longer be read ({why}), though it could when all images were looked at.") from error

    def _open_pool(self) -> ThreadPoolExecutor | None:
        """None in another process than the one that opened it, or where one thread is all."""
        if os.getpid() != self._process:
            self._settle_elsewhere()
        if self.threads == 1:
            return None
        if self._pool is None:
            cv2.setNumThreads(1)  # the parallelism is over images
            self._pool = ThreadPoolExecutor(self.threads)
        return self._pool

    def _settle_elsewhere(self) -> None:
        """A forked process has its parent's open files, whose positions both would move: it opens its own."""
        try:
            self._source = pickle.loads(pickle.dumps(self._source))
        except (pickle.PicklingError, AttributeError, TypeError):
            pass  # a reader of the user's own that cannot be copied is used as it was inherited
        self.threads, self._pool, self._process = 1, None, os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_pool": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, threads=1, _process=os.getpid())
