"""The learning rate falls where the held-out score has stopped rising, or the held-out loss has stopped falling."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from comp.api import PluginError, Scheduler, plugin

from ._warmup import WarmUp
from .torch import TorchSchedule


@plugin("scheduler")
def plateau(
    optimizer: Optimizer,
    steps: int,
    early_stopping: int | None,
    /,
    *,
    factor: float = 0.1,
    patience: int | None = None,
    min_delta: float = 0.0,
    min_lr: float = 0.0,
    warmup: float = 0.0,
) -> Scheduler:
    """torch's ReduceLROnPlateau on what train.monitor names, the held-out score or loss, after a linear warm-up.

    Without held-out rows (`full`) the rate stays as it is.

    Args:
        factor: what the rate is multiplied by, in (0, 1).
        patience: epochs without a better score that are waited for, from 0; null: half of train.patience, so that the rate falls
            once before training stops.
        min_delta: how much better a score (lower a loss) must be to count, from 0.
        min_lr: the lowest rate, as a share of the full learning rate, in [0, 1].
        warmup: share of the stage's steps in which the rate rises from near 0, in [0, 1).

    Raises:
        PluginError: a parameter is out of its range, or neither patience nor train.patience is set.

    Example: {use: plateau, factor: 0.2, patience: 3, warmup: 0.05}
    """
    if patience is None:
        if early_stopping is None:
            raise PluginError("scheduler.patience is null, which means half of train.patience, which is null: set one")
        patience = early_stopping // 2
    if patience < 0 or min_delta < 0:
        raise PluginError(f"scheduler.patience is {patience} and min_delta {min_delta}; wanted 0 or more")
    for name, value, inside in (
        ("factor", factor, 0 < factor < 1), ("min_lr", min_lr, 0 <= min_lr <= 1), ("warmup", warmup, 0 <= warmup < 1)
    ):  # fmt: skip
        if not inside:
            raise PluginError(f"scheduler.{name} is {value}; wanted a share below 1")
    lowest = [min_lr * float(group["lr"]) for group in optimizer.param_groups]
    schedule = ReduceLROnPlateau(
        optimizer, mode="max", factor=factor, patience=patience, threshold=min_delta, threshold_mode="abs", min_lr=lowest, eps=0.0
    )
    return TorchSchedule(schedule, per_step=False, plateau=True, warmup=WarmUp(optimizer, round(warmup * steps)))
