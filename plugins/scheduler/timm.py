"""timm's schedules by name, set before every step (plateau: after every epoch)."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import timm.scheduler as library
from torch.optim import Optimizer

from comp.api import PluginError, Scheduler, plugin

OURS = ("optimizer", "sched", "num_epochs", "step_on_epochs", "updates_per_epoch", "plateau_mode")


def names() -> tuple[str, ...]:
    return ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant", "plateau")


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """What timm's factory takes, less what the kit gives it."""
    given = inspect.signature(library.create_scheduler_v2)
    return given.replace(parameters=[parameter for key, parameter in given.parameters.items() if key not in OURS])


@plugin("scheduler", family="sched", names="names", signature="signature")
def timm(optimizer: Optimizer, steps: int, epochs: int, /, *, sched: str = "cosine", **arguments: Any) -> Scheduler:
    """A schedule of timm; other keys go to it, times in epochs (warmup_epochs, decay_epochs), rates absolute (min_lr, warmup_lr).

    All but plateau are set before every step. plateau lowers the rate where the held-out score has stopped rising; without
    held-out rows it stays as it is.

    Args:
        sched: its name: cosine, tanh, step, multistep, poly, wsd, rsqrt, constant or plateau.

    Raises:
        PluginError: there is no such schedule, or it refuses an argument.

    Example: {use: timm, sched: step, decay_epochs: 2, decay_rate: 0.5, warmup_epochs: 1}
    """
    if sched not in names():
        raise PluginError(f"scheduler.sched is {sched!r}; timm has {', '.join(names())}")
    plateau = sched == "plateau"
    try:
        with warnings.catch_warnings():
            # timm deprecates its plateau because timm does not save its counters; they are saved here.
            warnings.simplefilter("ignore", FutureWarning)
            schedule, _ = library.create_scheduler_v2(
                optimizer,
                sched=sched,
                num_epochs=epochs,
                step_on_epochs=plateau,
                updates_per_epoch=max(1, round(steps / max(1, epochs))),
                plateau_mode="max",
                **arguments,
            )
    except (TypeError, ValueError) as error:
        raise PluginError(f"scheduler {sched}: {error}") from error
    return Plateau(schedule) if plateau else PerStep(schedule)


class PerStep:
    """A schedule that is a function of the step alone."""

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule

    def step(self, step: int) -> None:
        self.schedule.step_update(step)

    def epoch(self, epoch: int, score: float | None) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"base_lrs": [float(value) for value in self.schedule.base_values]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.base_values = list(state["base_lrs"])


class Plateau:
    """A schedule that depends on the scores so far; its counters are those of torch's ReduceLROnPlateau inside."""

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule

    def step(self, step: int) -> None:
        pass

    def epoch(self, epoch: int, score: float | None) -> None:
        # timm counts the epoch that comes next.
        self.schedule.step(epoch + 1, score)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": dict(self.schedule.lr_scheduler.state_dict()), "restore_lr": self.schedule.restore_lr}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.lr_scheduler.load_state_dict(dict(state["inner"]))
        self.schedule.restore_lr = state["restore_lr"]
