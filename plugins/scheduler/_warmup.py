"""A linear warm-up over schedulers that reckon each learning rate from the one before."""

from __future__ import annotations

from torch.optim import Optimizer


class WarmUp:
    """Lowers the scheduler's rates in the first steps, and puts them back before the scheduler reckons on.

    Attributes:
        full: the scheduler's rate of each group while it is lowered; None while it is not.
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        self.optimizer = optimizer
        self.steps = steps
        self.full: list[float] | None = None

    def apply(self, step: int) -> None:
        if step < self.steps:
            self.full = [float(group["lr"]) for group in self.optimizer.param_groups]
            for group, full in zip(self.optimizer.param_groups, self.full, strict=True):
                group["lr"] = full * (step + 1) / (self.steps + 1)

    def take_back(self) -> None:
        for group, full in zip(self.optimizer.param_groups, self.full or (), strict=self.full is not None):
            group["lr"] = full
        self.full = None
