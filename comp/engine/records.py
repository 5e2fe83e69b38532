"""Records: what is said, and kept, of an epoch when it is over."""

from __future__ import annotations

from typing import Any

from comp.engine.checkpoint import Progress
from comp.engine.clock import Clock
from comp.engine.context import StageContext
from comp.engine.stage import Stage
from comp.events import EpochFinished, EpochProfiled


def record_epoch(
    stage: Stage,
    progress: Progress,
    epochs: int,
    held_out: tuple[float | None, dict[str, float]],
    best: bool,
    samples_per_s: float,
) -> EpochFinished:
    """What is said of the epoch that `progress` stands at the end of.

    Args:
        epochs: of the fold.
        held_out: loss and scores of the held-out rows.
    """
    rows = max(1, progress.rows)
    return EpochFinished(
        stage.context.fold,
        stage.context.stage["name"],
        len(progress.history),
        epochs,
        progress.loss_sum / rows,
        *held_out,
        stage.learning_rate(progress),
        progress.elapsed_s,
        samples_per_s,
        best,
        {name: value / rows for name, value in progress.part_sums.items()},
        progress.skipped,
    )


def list_kept(record: EpochFinished) -> dict[str, Any]:
    """What a fold's history keeps of it."""
    kept = {
        "epoch": record.epoch,
        "scores": record.scores,
        "train_loss": record.train_loss,
        "held_out_loss": record.held_out_loss,
    }
    return {**kept, "skipped": record.skipped} if record.skipped else kept


def profile_span(clock: Clock, context: StageContext, device: str, span: str, epoch: int, steps: int) -> EpochProfiled:
    """Where the time has gone since the last span ended. `device`, `span`, `epoch`, `steps`: as EpochProfiled has them."""
    wall_s, parts = clock.take()
    workers = context.pool.count_for(context.stage["name"]) or 0
    return EpochProfiled(context.fold, context.stage["name"], span, epoch, wall_s, parts, device, workers, steps)
