"""Cosine decay per step after a linear warm-up, once or with restarts."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from comp.api import PluginError, Scheduler, plugin


@plugin("scheduler")
def cosine(
    optimizer: Optimizer, steps: int, /, *, warmup: float = 0.05, min_lr: float = 0.0, cycles: int = 1, decay: float = 1.0
) -> Scheduler:
    """Linear warm-up, then a half cosine to the end of the stage (Loshchilov & Hutter 2017, eq. 5), set before every step.

    With cycles, as many half cosines of equal length, each beginning anew (warm restarts).

    Args:
        warmup: share of the steps in which the learning rate rises from near 0 to its full value, in [0, 1).
        min_lr: where the decay ends, as a share of the full learning rate, in [0, 1].
        cycles: how many half cosines, from 1.
        decay: how high each begins, as a share of the one before, in (0, 1].

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: cosine, warmup: 0.05, min_lr: 0.01, cycles: 1}
    """
    if not 0 <= warmup < 1:
        raise PluginError(f"scheduler.warmup is {warmup}; wanted a share of the steps in [0, 1)")
    if not 0 <= min_lr <= 1:
        raise PluginError(f"scheduler.min_lr is {min_lr}; wanted a share of the learning rate in [0, 1]")
    if cycles < 1:
        raise PluginError(f"scheduler.cycles is {cycles}; wanted 1 or more")
    if not 0 < decay <= 1:
        raise PluginError(f"scheduler.decay is {decay}; wanted a share in (0, 1]")
    return Cosine(optimizer, steps, round(warmup * steps), min_lr, cycles, decay)


class Cosine:
    def __init__(
        self, optimizer: Optimizer, steps: int, warmup_steps: int, floor: float, cycles: int, decay: float
    ) -> None:
        self.optimizer = optimizer
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.floor = floor
        self.cycles = cycles
        self.decay = decay
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]

    def factor(self, step: int) -> float:
        """Share of the full learning rate at a step."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        done = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        cycle = min(self.cycles - 1, int(done * self.cycles))
        fallen = 0.5 * (1 + math.cos(math.pi * (done * self.cycles - cycle)))
        return self.floor + (self.decay**cycle - self.floor) * fallen

    def step(self, step: int) -> None:
        factor = self.factor(step)
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * factor

    def epoch(self, epoch: int, score: float | None) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"base_lrs": self.base_lrs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.base_lrs = list(state["base_lrs"])
