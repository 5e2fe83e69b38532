"""What a stage is given, and what it makes of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from comp.api import ImageSpec, Task
from comp.catalog import Catalog
from comp.engine.clock import OFF, Clock
from comp.engine.loader.workers import WorkerPool
from comp.events import Emit


def never() -> bool:
    return False


def skip(stage: Any) -> None:
    pass


@dataclass(frozen=True)
class StageContext:
    """What a stage is given besides the network.

    Attributes:
        key: (seed, fold, stage index): what every random choice of the stage is derived from.
        first_epoch: epochs that the fold has trained before this stage.
        pool: who makes batches.
        stop: asked between steps; true: save and end.
        due, save: asked between steps, too; true: save is called, with the stage, and training goes on.
        clock: where the time goes.
    """

    catalog: Catalog
    task: Task
    stage: Mapping[str, Any]
    image: ImageSpec
    fold: str
    key: tuple[Any, ...]
    first_epoch: int
    pool: WorkerPool
    emit: Emit
    stop: Callable[[], bool]
    due: Callable[[], bool] = never
    save: Callable[[Any], None] = skip
    clock: Clock = OFF


@dataclass(frozen=True)
class Step:
    """One batch: uint8 images (B, H, W, C), positions of its rows, and the seed of what is drawn for it."""

    images: torch.Tensor
    rows: torch.Tensor
    seed: int
