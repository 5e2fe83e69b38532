"""Retreat: where a fold goes back to when an update is no number and train.on_nan says `lower`.

That is the start of the epoch, whatever was saved when, so that a fold that was killed meanwhile comes to the same weights. From
there the stage's learning rate is half of what its schedule says, and half of that the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from comp.engine.checkpoint import Progress
from comp.engine.finite import NotFinite
from comp.errors import RunError
from comp.events import Notice

if TYPE_CHECKING:
    from comp.engine.stage import Stage

MOST = 4
"""Times that a stage may go back; a sixteenth of the rate is no longer the manifest's idea."""


class Retreat:
    """`saved`: what the fold resumes from, if anything."""

    def __init__(self, saved: Mapping[str, Any] | None) -> None:
        self.kept: dict[str, Any] | None = saved.get("retreat") if saved else None

    def keep(self, stage: Stage, progress: Progress) -> None:
        """Before an epoch, or the rest of one."""
        if stage.context.stage["train"]["on_nan"] != "lower":
            self.kept = None
        elif progress.batch == 0:
            self.kept = {"progress": asdict(progress), "states": copy_plain(stage.states())}

    def state(self, progress: Progress) -> dict[str, Any] | None:
        """What a checkpoint holds of it: nothing at the start of an epoch, where it is the checkpoint itself."""
        return self.kept if progress.batch else None

    def go_back(self, stage: Stage, progress: Progress, why: NotFinite) -> Progress:
        """The stage at the start of the epoch, and its progress there.

        Raises:
            RunError: it has gone back as often as it may.
        """
        lowered = progress.lowered + 1
        if lowered > MOST:
            raise RunError(
                f"{why}, with the learning rate halved {MOST} times (train.on_nan: lower). Look at these rows, lower "
                "optimizer.lr, set train.clip_norm, or train.precision: 32. What was saved last is kept."
            ) from why
        stage.restore(copy_plain(self.kept["states"]))  # an optimizer goes on in the very tensors that it is given
        text = f"{why}; back to the start of the epoch, with {2**lowered} times less than the schedule's learning rate"
        stage.context.emit(Notice(text, "warning"))
        return Progress(**{**copy_plain(self.kept["progress"]), "lowered": lowered, "elapsed_s": progress.elapsed_s})


def lower_rates(optimizer: Optimizer, times: int) -> AbstractContextManager[None]:
    """In here the learning rates are halved so many times; the schedule, which may go on from them, sees its own."""
    return scale_rates(optimizer, 0.5**times) if times else nullcontext()


@contextmanager
def scale_rates(optimizer: Optimizer, factor: float) -> Iterator[None]:
    own = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = rate


def copy_plain(value: Any) -> Any:
    """A copy of plain data and tensors, on the CPU, that shares nothing with it."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(copy_plain, value))
    return value
