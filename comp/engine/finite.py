"""Finite: whether losses and gradients are still numbers, and what becomes of an update whose are not (`train.on_nan`).

On a CPU, and wherever the policy is not to stop, each update is looked at before it is made. A GPU that is to stop is not waited
for: what its updates were made of is kept, and looked at a few times a second and before anything is saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from comp.engine.checkpoint import Progress
from comp.engine.context import StageContext
from comp.errors import RunError
from comp.events import Notice

if TYPE_CHECKING:
    from comp.engine.ranks import Ranks

SHOWN = 5

LEAST_SCALE = 1.0
"""fp16: gradients that overflow at a greater loss scale are the scaler's business, which leaves the update out and lowers it."""


class NotFinite(RunError):
    """An update that is no number, and a fold that may go back to where it was (train.on_nan: lower)."""


@dataclass(frozen=True)
class Fault:
    """What is no number in an update.

    Attributes:
        batch: its number in the epoch, from 1.
        what: as in `the training loss is nan`; `of_loss`: whether it is the loss, which says which batch it was.
        rows: positions of the batch's rows among the training rows; of a gradient all of the update's.
    """

    batch: int
    what: str
    of_loss: bool
    rows: tuple[int, ...]


@dataclass
class Update:
    """What one optimizer step is made of.

    Attributes:
        batches: number, rows (B,) and the losses of the micro-batches of each; scalars on the device.
        norm: of the gradient, before it was clipped.
        scale: by which the loss was multiplied in fp16; None in other precisions.
    """

    batches: list[tuple[int, torch.Tensor, list[torch.Tensor]]] = field(default_factory=list)
    norm: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    def find_fault(self) -> Fault | None:
        for number, rows, losses in self.batches:
            for loss in map(float, losses):
                if not math.isfinite(loss):
                    return Fault(number, f"the training loss is {loss}", True, tuple(rows.tolist()))
        if self.norm is None or math.isfinite(norm := float(self.norm)):
            return None
        if self.scale is not None and float(self.scale) > LEAST_SCALE:
            return None
        rows = tuple(row for _, rows, _ in self.batches for row in rows.tolist())
        return Fault(max((number for number, _, _ in self.batches), default=0), f"the gradient's norm is {norm}", False, rows)


class Watch:
    """Looks at the updates of one stage, and does what `train.on_nan` says.

    Args:
        row_ids: (N,) of the training rows.
        batches: of an epoch.

    Attributes:
        at_once: whether each update is looked at before it is made.
        fault: what was found, and not yet said to all ranks.
    """

    def __init__(
        self, context: StageContext, fabric: Fabric, ranks: Ranks, row_ids: np.ndarray, batches: int, network: nn.Module
    ) -> None:
        self.context, self.fabric, self.ranks, self.row_ids, self.batches = context, fabric, ranks, row_ids, batches
        self.policy: str = context.stage["train"]["on_nan"]
        self.at_once = self.policy != "stop" or fabric.device.type == "cpu"
        self.fault: Fault | None = None
        self.update = Update()
        self.unseen: list[Update] = []
        # A batch that is no number leaves its traces in the running statistics of batch norm, update or not.
        self.buffers = [*network.buffers()] if self.policy == "skip" else []
        self.kept = [buffer.clone() for buffer in self.buffers]
        self.told = False

    def begin(self) -> None:
        """Before the first batch of an update."""
        self.update = Update()
        for kept, buffer in zip(self.kept, self.buffers, strict=True):
            kept.copy_(buffer)

    def note(self, number: int, rows: torch.Tensor, losses: Sequence[torch.Tensor]) -> bool:
        """After the passes over one batch. False: it is known to be no number, and its loss does not count."""
        if not losses:  # a rank's turn without rows
            return False
        self.update.batches.append((number, rows, [loss.detach() for loss in losses]))
        if not self.at_once:
            return True
        self.fault = self.fault or self.update.find_fault()
        return all(map(math.isfinite, map(float, losses)))

    def passes(self, norm: torch.Tensor, progress: Progress) -> bool:
        """Whether the update is to be made. All ranks are answered the same.

        Args:
            norm: of the gradient, the ranks' summed.

        Raises:
            NotFinite: it is not, and the fold is to go back.
            RunError: it is not, or an earlier one was not, and the fold is to stop.
        """
        self.update.norm, self.update.scale = norm, read_scale(self.fabric)
        if self.at_once:
            self.fault = self.fault or self.update.find_fault()
        else:
            self.unseen.append(self.update)
        # Another rank's fault is known by the flag that came with the gradients, or by their sum.
        if not self.ranks.bad and not (self.at_once and self.fault):
            return True
        self.refuse(self.share(), progress)
        return False

    def look(self, progress: Progress, together: bool) -> None:
        """Between updates: look at those that were made unseen. `together`: every rank does so now.

        Raises:
            RunError: one was no number.
        """
        if self.at_once:
            return
        for update in self.unseen:
            self.fault = self.fault or update.find_fault()
        self.unseen.clear()
        alone = self.ranks.count == 1
        if (alone and self.fault) or (not alone and together and self.ranks.count_yes([self.fault is not None])[0]):
            self.refuse(self.share(), progress)

    def share(self) -> Fault:
        """The first fault, with the rows of every rank that has one; all ranks call it at once."""
        found = [fault for fault in self.ranks.gather(self.fault) if fault]
        self.fault = None
        found = [fault for fault in found if fault.of_loss] or found
        first = min(found, key=lambda fault: fault.batch)
        return Fault(first.batch, first.what, first.of_loss, tuple(row for fault in found for row in fault.rows))

    def refuse(self, fault: Fault, progress: Progress) -> None:
        """What is done where an update is no number.

        Raises:
            NotFinite, RunError: as passes.
        """
        ids = [str(self.row_ids[row]) for row in fault.rows[:SHOWN]]
        more = f" and {len(fault.rows) - SHOWN} more" if len(fault.rows) > SHOWN else ""
        epoch, fold = self.context.first_epoch + progress.epoch, self.context.fold
        said = f"fold {fold}, epoch {epoch}, batch {fault.batch} of {self.batches}: {fault.what} (rows {', '.join(ids)}{more})"
        forget_step(self.fabric)
        if self.policy == "lower":
            raise NotFinite(said)
        if self.policy == "stop":
            raise RunError(
                f"{said}. Look at these rows, lower optimizer.lr, set train.clip_norm, or train.precision: 32; or have "
                "train.on_nan: skip leave such updates out, or lower go back with half the rate. What was saved last is kept."
            )
        for kept, buffer in zip(self.kept, self.buffers, strict=True):
            buffer.copy_(kept)
        progress.skipped += 1
        if not self.told:
            self.told = True
            self.context.emit(Notice(f"{said}; the update is left out, as further ones are (train.on_nan: skip)", "warning"))

    def end_epoch(self, progress: Progress, updates: int) -> None:
        """Raises RunError: not one of the epoch's updates was made."""
        if progress.skipped >= updates:
            where = f"fold {self.context.fold}, epoch {self.context.first_epoch + progress.epoch}"
            raise RunError(
                f"{where}: not one of {updates} updates was made: each loss or gradient is no number (train.on_nan: skip). "
                "Lower optimizer.lr, or set train.precision: 32."
            )


def find_scaler(fabric: Fabric) -> Any:
    """fp16's loss scaler; None in other precisions."""
    return getattr(fabric.strategy.precision, "scaler", None)


def read_scale(fabric: Fabric) -> torch.Tensor | None:
    """A scalar on the device, of this moment, which is not waited for."""
    scaler = find_scaler(fabric)
    return None if scaler is None else scaler.scale(torch.ones((), device=fabric.device))


def forget_step(fabric: Fabric) -> None:
    """The scaler has perhaps looked at gradients that no step will be made of; it is to look at the next ones anew."""
    if scaler := find_scaler(fabric):
        scaler.update(scaler.get_scale())
