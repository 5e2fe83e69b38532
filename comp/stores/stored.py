"""Stored images: one uint8 array in a file, mapped by every process that looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from comp.errors import WorkspaceError
from comp.stores.cache import hold
from comp.stores.store_build import PIXELS
from comp.stores.store_source import StoreForm


class ImageStore:
    """Images by their position in the references that the store was opened with. Pickles as a path, not as pixels.

    Attributes:
        folder: where it lies.
        form: how the images are kept.
        rows: (N,) int64, the stored row of each reference; equal references share one.
        bad: position -> why that image cannot be read; such a position holds the mean colour of the readable images.
        held: what keeps the store from being removed (comp.stores.cache.hold).
        threads: that read images at a time.
    """

    stored = True
    threads = 1

    def __init__(self, folder: Path, form: StoreForm, rows: np.ndarray, bad: dict[int, str]) -> None:
        self.folder, self.form, self.rows, self.bad = folder, form, rows, bad
        self.held: IO[bytes] | None = None
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> np.ndarray:
        """(stored rows, H, W, C) uint8, read-only, mapped from the file; index it with `rows`.

        Raises:
            WorkspaceError: the file is not there, or no longer.
        """
        if self._pixels is None:
            self.held = self.held or hold(self.folder)
            count = int(self.rows.max()) + 1 if len(self.rows) else 0
            shape = (count, *self.form.shape)
            try:
                mapped = np.memmap(self.folder / PIXELS, np.uint8, "r", shape=shape) if count else np.zeros(shape, np.uint8)
            except OSError as error:
                raise WorkspaceError(f"the image store {self.folder} cannot be opened: {error.strerror or error}") from error
            self._pixels = np.asarray(mapped)
        return self._pixels

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(n,) positions -> (n, H, W, C) uint8, a copy."""
        return self.pixels[self.rows[positions]]

    def pictures(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """(n,) positions -> each (H, W, C) uint8, not copied."""
        return map(self.pixels.__getitem__, self.rows[positions].tolist())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None, "held": None}
