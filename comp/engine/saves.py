"""Saves: when a fold writes the state that it resumes from, and which of its two files it goes on from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comp.engine.checkpoint import Progress, load_checkpoint, save_checkpoint
from comp.errors import WeightsError
from comp.events import Emit, Notice
from comp.runs import CHECKPOINTS

if TYPE_CHECKING:
    from comp.engine.ranks import Ranks

Found = tuple[Progress, dict[str, Any]]


class Saves:
    """A fold's checkpoints. The one before the last is kept, in case that the last is damaged.

    Args:
        folder: the fold's.
        who: the fold, as messages name it.
    """

    def __init__(self, folder: Path, who: str, emit: Emit) -> None:
        self.last, self.before = (folder / name for name in CHECKPOINTS)
        self.who, self.emit = who, emit
        self.sound = False  # whether the last one may take the place of the one before
        self.at = time.monotonic()
        self.epochs = 0  # of the fold, that were done by then

    def load(self, ranks: Ranks) -> Found | None:
        """The state to go on from, of the newest file that is not damaged, as rank 0 finds; None where there is none.

        Raises:
            FormatError: a newer comp wrote it.
            WeightsError: all files that are there are damaged.
            RunError: one cannot be read now, and may be whole.
        """
        path, found = self.find() if ranks.leads else (None, None)
        path = ranks.agree(lambda: path)
        if path is None:
            return None
        found = found or load_checkpoint(path)
        self.sound, self.epochs = path == self.last, len(found[0].history)
        return found

    def find(self) -> tuple[Path | None, Found | None]:
        """That file, and what it holds. Raises: as load."""
        damaged: list[WeightsError] = []
        for path in (self.last, self.before):
            try:
                found = load_checkpoint(path)
            except WeightsError as error:
                damaged.append(error)
                continue
            if found is None:
                continue
            if damaged:
                where = f"{self.before.name}, the one before it ({len(found[0].history)} epochs done)"
                self.emit(Notice(f"{self.who}: {self.last} is damaged; going on from {where}", "warning"))
            return path, found
        if damaged:
            raise WeightsError("\n".join(map(str, damaged)))
        return None, None

    def save(self, progress: Progress, states: Mapping[str, Any]) -> None:
        """Write the state, in one step; what was written last becomes the one before.

        Raises:
            RunError: the disk is full, or the folder cannot be written; what is there stays.
        """
        save_checkpoint(self.last, progress, states, keep=self.before if self.sound else None)
        self.sound, self.at, self.epochs = True, time.monotonic(), len(progress.history)

    def due(self, minutes: float) -> bool:
        """Whether the last save is so long ago. 0: never."""
        return minutes > 0 and time.monotonic() - self.at > 60 * minutes

    def remove(self) -> None:
        """The fold is complete: nothing is to be resumed."""
        self.last.unlink(missing_ok=True)
        self.before.unlink(missing_ok=True)
