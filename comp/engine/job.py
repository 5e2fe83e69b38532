"""The job of one fold: what the engine is given to train it, laid together by comp.material."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from comp.api import ImageSpec, Metric, Task
from comp.engine.lessons import Teach
from comp.engine.loader.workers import WorkerPool
from comp.engine.rows import Rows
from comp.engine.tabular import TableEncoder, encode_rows
from comp.manifest import Manifest


def teach_nothing(teachers: Sequence[str], kind: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{teachers} are to teach {kind} rows, and nobody can ask them")


@dataclass(frozen=True)
class FoldJob:
    """What one fold is trained from.

    Attributes:
        fold: "0", "1", ... or "full".
        image: what held-out and test images look like.
        held_out: None for `full`.
        test: None without a test set.
        pool: who makes batches, for this fold and the others of the run.
        stop_after: epochs of the fold after which it ends (`full` with early stopping: from the folds); None: the schedule's end.
        stop: asked between steps; true: save and end.
        init: weights that the fold starts from; None: the manifest's own model.
        teach: asked where an objective has teachers.
        profile: whether to measure where the time goes.
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
    pool: WorkerPool
    stop_after: int | None
    stop: Callable[[], bool]
    init: Path | None = None
    teach: Teach = teach_nothing
    profile: bool = False


def encode_job(job: FoldJob, encoder: TableEncoder | None) -> FoldJob:
    """The job with the rows' own columns turned into features."""
    rows = {name: encode_rows(getattr(job, name), encoder) for name in ("train", "held_out", "test")}
    return replace(job, **rows) if encoder else job
