"""The job of one fold: what the engine is given to train it, laid together by comp.material."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comp.api import ImageSpec, Metric, Task
from comp.engine.rows import Rows
from comp.manifest import Manifest


@dataclass(frozen=True)
class FoldJob:
    """What one fold is trained from.

    Attributes:
        fold: "0", "1", ... or "full".
        image: what held-out and test images look like.
        held_out: None for `full`.
        test: None without a test set.
        stop_after: epochs of the fold after which it ends (`full` with early stopping: from the folds); None: the schedule's end.
        stop: asked between steps; true: save and end.
    """

    manifest: Manifest
    task: Task
    metrics: Mapping[str, Metric]
    image: ImageSpec
    fold: str
    folder: Path
    train: Rows
    held_out: Rows | None
    test: Rows | None
    workers: int
    stop_after: int | None
    stop: Callable[[], bool]
