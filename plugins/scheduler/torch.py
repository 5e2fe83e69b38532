"""torch's learning-rate schedulers by name, each stepped as it is meant to be."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from torch.optim import Optimizer, lr_scheduler

from comp.api import PluginError, Scheduler, plugin

from ._warmup import WarmUp

# What can be described in a manifest: the others are made of functions or of other schedulers.
PER_STEP = ("OneCycleLR", "CyclicLR")
PER_EPOCH = (
    "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts", "ReduceLROnPlateau",
)  # fmt: skip
OURS = {"OneCycleLR": ("total_steps", "epochs", "steps_per_epoch"), "ReduceLROnPlateau": ("mode",)}
FILLED = ("max_lr", "T_max")


def names() -> tuple[str, ...]:
    return PER_STEP + PER_EPOCH


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """What the scheduler's class takes, with what the kit fills in made optional."""
    given = inspect.signature(getattr(lr_scheduler, name))
    kept = [
        parameter.replace(kind=parameter.KEYWORD_ONLY, default=None if key in FILLED else parameter.default)
        for key, parameter in given.parameters.items()
        if key not in ("optimizer", "last_epoch", *OURS.get(name, ()))
    ]
    return inspect.Signature(kept)


@plugin("scheduler", family="name", names="names", signature="signature")
def torch(
    optimizer: Optimizer,
    steps: int,
    epochs: int,
    /,
    *,
    name: str,
    every: Literal["auto", "step", "epoch"] = "auto",
    warmup: float = 0.0,
    **arguments: Any,
) -> Scheduler:
    """A scheduler of torch.optim.lr_scheduler; other keys go to it (step_size, gamma, base_lr, pct_start).

    Filled in where not given: OneCycleLR's total_steps, and max_lr of OneCycleLR and CyclicLR: each parameter group's own
    learning rate; CyclicLR's step_size_up, so that the stage is one cycle; T_max and total_iters of the decays, the whole
    stage. ReduceLROnPlateau follows the held-out score (greater is better) and rests where there is none.

    Args:
        name: the class, as torch spells it: OneCycleLR, CyclicLR, ReduceLROnPlateau, StepLR, ExponentialLR, ...
        every: what the scheduler counts: step or epoch; auto: steps for OneCycleLR and CyclicLR, epochs for the others.
        warmup: share of the stage's steps in which the scheduler's learning rate is raised from near 0, in [0, 1).

    Raises:
        PluginError: there is no such scheduler, it refuses an argument, one max_lr is given for groups that differ, or warmup is
            out of its range.

    Example: {use: torch, name: OneCycleLR, pct_start: 0.3}
    """
    if name not in names():
        raise PluginError(f"scheduler.name is {name!r}; a manifest can name {', '.join(names())}")
    plateau = name == "ReduceLROnPlateau"
    per_step = name in PER_STEP if every == "auto" else every == "step"
    if plateau and per_step:
        raise PluginError("scheduler.every: ReduceLROnPlateau follows the score of an epoch; remove the key")
    if not 0 <= warmup < 1:
        raise PluginError(f"scheduler.warmup is {warmup}; wanted a share of the steps in [0, 1)")
    count = steps if per_step else epochs
    try:
        schedule = getattr(lr_scheduler, name)(optimizer, **fill(name, arguments, optimizer, count))
    except (TypeError, ValueError) as error:
        raise PluginError(f"scheduler {name}: {error}") from error
    return TorchSchedule(schedule, per_step, plateau, WarmUp(optimizer, round(warmup * steps)))


def fill(name: str, arguments: dict[str, Any], optimizer: Optimizer, count: int) -> dict[str, Any]:
    """The arguments, completed by what follows from the stage and the optimizer."""
    lrs = [float(group["lr"]) for group in optimizer.param_groups]
    if isinstance(arguments.get("max_lr"), (int, float)) and len(set(lrs)) > 1:
        raise PluginError(
            "scheduler.max_lr would give backbone and head the same learning rate; leave it out (the peak is each group's own) "
            "and set optimizer.lr and optimizer.head_lr"
        )
    found: dict[str, dict[str, Any]] = {
        "OneCycleLR": {"max_lr": lrs, "total_steps": count},
        "CyclicLR": {"max_lr": lrs, "step_size_up": max(1, count // 2)},
        "CosineAnnealingLR": {"T_max": count},
        "LinearLR": {"total_iters": count},
        "PolynomialLR": {"total_iters": count},
        "ReduceLROnPlateau": {"mode": "max"},
    }
    return {**found.get(name, {}), **arguments}


class TorchSchedule:
    def __init__(self, schedule: Any, per_step: bool, plateau: bool, warmup: WarmUp) -> None:
        self.schedule = schedule
        self.per_step = per_step
        self.plateau = plateau
        self.warmup = warmup

    def step(self, step: int) -> None:
        self.warmup.take_back()
        # torch sets the first step's rate when it is built, and each later one when told so after the step before.
        if self.per_step and step > 0:
            self.schedule.step()
        self.warmup.apply(step)

    def epoch(self, epoch: int, score: float | None) -> None:
        self.warmup.take_back()
        if self.plateau:
            if score is not None:
                self.schedule.step(float(score))
        elif not self.per_step:
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {"schedule": dict(self.schedule.state_dict()), "full": self.warmup.full}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(dict(state["schedule"]))
        self.warmup.full = state["full"]
