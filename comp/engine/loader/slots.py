"""Slots: memory that processes share, in which batches are handed over without being sent."""

from __future__ import annotations

import math
import mmap
import os
import tempfile

import numpy as np


class Slots:
    """`count` pieces of `each` bytes. The memory belongs to no name: nothing is left of it when its last process ends.

    Args:
        file: an open file of another process's slots, which this one shares; None makes new ones.

    Raises:
        OSError: there is not so much memory.
    """

    def __init__(self, count: int, each: int, file: int | None = None) -> None:
        self.count, self.each = count, each
        self._file = _open_memory(count * each) if file is None else file
        self._pieces = np.frombuffer(mmap.mmap(self._file, count * each), np.uint8).reshape(count, each)

    def fileno(self) -> int:
        return self._file

    def of(self, slot: int, shape: tuple[int, ...]) -> np.ndarray:
        """The beginning of a slot, as an array of this shape."""
        return self._pieces[slot, : math.prod(shape)].reshape(shape)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


def _open_memory(size: int) -> int:
    """A file in memory; unlike those of /dev/shm it is not limited by what a container was given for these."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("comp-loader")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    try:
        os.ftruncate(file, size)
    except BaseException:
        os.close(file)
        raise
    return file
