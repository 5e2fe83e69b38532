"""Members' predictions that are too large to hold: in a file without a name, read a member at a time.

What they are blended to is blends' business.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from comp.errors import WorkspaceError

HELD_BYTES = 2**29
"""Members of so many bytes in all are held in memory."""
BLOCK_BYTES = 2**19


@dataclass(frozen=True)
class Shelf(Mapping[str, np.ndarray]):
    """Member -> (N, outputs) float64, read anew whenever it is asked for. The file is gone with the process, however that ends.

    Attributes:
        places: member -> where it begins in the file, in bytes, and its (rows, outputs).
        rows: (N,) bool: which of them are meant; None: all.
    """

    file: Any
    places: dict[str, tuple[int, tuple[int, int]]] = field(default_factory=dict)
    rows: np.ndarray | None = None
    lock: Any = field(default_factory=Lock)

    def put(self, name: str, values: np.ndarray) -> None:
        """Raises: WorkspaceError: the disk has no room for it."""
        try:
            start = self.file.seek(0, 2)
            _move(self.file.write, np.ascontiguousarray(values, dtype=np.float64))
        except OSError as error:
            size = f"{values.size * 8 / 2**20:.0f} MiB of {name}"
            raise WorkspaceError(
                f"{size}, which are put aside while a blend is made, cannot be written into the workspace's .comp/cache "
                f"({error.strerror or error}); free some room, or blend fewer members at a time"
            ) from error
        self.places[name] = (start, values.shape)

    def take(self, rows: np.ndarray) -> Shelf:
        """The same of some of all rows: (N,) bool."""
        assert self.rows is None
        return Shelf(self.file, self.places, rows, self.lock)

    def __getitem__(self, name: str) -> np.ndarray:
        count, width = self.places[name][1]
        values = np.empty((count if self.rows is None else int(self.rows.sum()), width))
        for rows, part in self.read_parts(name):
            values[rows] = part
        return values

    def read_parts(self, name: str) -> Iterator[tuple[slice, np.ndarray]]:
        """Which rows, and their values, part by part; the next part takes the memory of the one before."""
        start, (count, width) = self.places[name]
        step = max(1, BLOCK_BYTES // (8 * width))
        memory, chosen, filled = np.empty((step, width)), np.empty((step, width)), 0
        for first in range(0, count, step):
            part = memory[: min(step, count - first)]
            wanted = slice(None) if self.rows is None else self.rows[first : first + step]
            kept = len(part) if self.rows is None else int(np.count_nonzero(wanted))
            if kept:
                with self.lock:  # one place in the file for all threads
                    self.file.seek(start + first * width * 8)
                    _move(self.file.readinto, part)
                if kept < len(part):
                    part = np.compress(wanted, part, axis=0, out=chosen[:kept])
                yield slice(filled, filled + kept), part
                filled += kept

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def open_shelf(folder: Path) -> Shelf:
    """Raises: WorkspaceError: the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Shelf(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115 (it lives as long as the shelf)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror or error}") from error


def _move(call: Any, values: np.ndarray) -> None:
    """Read or write all of the values' bytes: the system moves at most 2 GiB at once."""
    left = memoryview(values).cast("B") if values.size else memoryview(b"")
    while len(left):
        moved = call(left)
        if not moved:
            raise OSError("the file ended early")
        left = left[moved:]
