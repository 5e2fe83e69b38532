"""Ranks: the processes that train one fold together, each on a device of its own, and what they tell each other.

All of them hold the same weights, go through the same code in the same order and come to the same decisions; batches and rows to
be predicted are divided among them, and rank 0 alone writes. One process alone is rank 0 of 1: nothing in here costs it anything.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from timm.layers import convert_sync_batchnorm
from torch import nn

from comp.engine.device import open_device
from comp.engine.rows import Rows
from comp.errors import RunInterrupted

if TYPE_CHECKING:
    from comp.engine.checkpoint import Progress

WAIT = timedelta(days=7)
"""For each other: rank 0 may work for hours at what the others want to know. Who waits in vain is ended by the parent."""

ASK_EVERY = 16
"""Batches of a pass that every rank makes by itself, after which they agree on whether to stop."""

T = TypeVar("T")
Outputs = dict[str, np.ndarray]


class SummedOnce(DDPStrategy):
    """Fabric's DDP, but for the wrapper that sums gradients at every backward pass: Ranks.sum_gradients does so once per update,
    whatever an objective does in between (two passes, none, gradients for some weights only)."""

    def setup_module(self, module: nn.Module) -> nn.Module:
        return module


def join_ranks(train: Mapping[str, Any], rank: int, port: int) -> Fabric:
    """A Fabric for this rank of the `train.devices` on this machine; returns when all have met at the port."""
    place = {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(place)
    if train["threads"] == "auto":
        torch.set_num_threads(max(1, torch.get_num_threads() // train["devices"]))
    fabric = open_device(train, SummedOnce(cluster_environment=LightningEnvironment(), timeout=WAIT))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # without it Fabric sets a number of its own
    fabric.launch()
    return fabric


@cache
def open_hosts() -> torch.distributed.ProcessGroup:
    """A group in which the ranks' processes tell each other things that no device has to be waited for; all make it at once."""
    return torch.distributed.new_group(backend="gloo", timeout=WAIT)


class Ranks:
    """Attributes:
    count, rank: how many there are, and which of them this one is.
    stopped: whether any of them had been asked to stop by the last update.
    bad: whether any of them had found, by then, a loss or gradient that is no number.
    due: whether rank 0 wanted to save by then.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.count, self.rank = fabric, fabric.world_size, fabric.global_rank
        self.stopped = self.bad = self.due = False

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def agree(self, ask: Callable[[], T]) -> T:
        """What rank 0 finds, for all; the others wait for it."""
        if self.count == 1:
            return ask()
        return self.fabric.broadcast(ask() if self.leads else None)  # type: ignore[return-value]

    def gather(self, own: T) -> list[T]:
        """What each rank has, in their order."""
        return [self.fabric.broadcast(own, src=rank) for rank in range(self.count)] if self.count > 1 else [own]

    def align(self, network: nn.Module) -> None:
        """Rank 0's weights and buffers, for all."""
        if self.count == 1:
            return
        with torch.no_grad():
            for value in network.state_dict().values():
                sent = value.detach().contiguous()
                torch.distributed.broadcast(sent, 0)
                value.copy_(sent)

    def ask_together(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """`stop`, to be asked between the batches of a pass that every rank makes whole: the same answer on all of them."""
        if self.count == 1:
            return stop
        asked = itertools.count()
        return lambda: next(asked) % ASK_EVERY == 0 and self.agree(stop)

    # -- training --------------------------------------------------------------------------------------------------------

    def fill_turns(
        self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], turns: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's batches of an epoch, one a turn; without rows where the last turn has none for it."""
        given = 0
        for batch in batches:
            given += 1
            yield batch
        if given < turns:
            yield torch.empty(0), torch.empty(0, dtype=torch.int64)

    def sum_gradients(self, network: nn.Module, stop: bool, trained: bool, *, bad: bool = False, due: bool = False) -> None:
        """Each weight's gradient becomes the sum of all ranks'; one that has a gradient on no rank keeps none.

        The running statistics of batch norms that train become the mean over the ranks that had rows: one step of momentum for
        each turn of the ranks, where one device that accumulates makes one for each batch. Every other buffer is rank 0's. What
        is saved in the middle of an epoch thus is the state of every rank. Who was asked to stop is told as well, so that all
        stop after the same step; so is who has met what is no number, and that rank 0 wants to save.

        Args:
            stop: whether this rank was asked to.
            trained: whether this rank had rows since the last update.
            bad: whether it has met a loss or gradient that is no number.
            due: whether it is rank 0 and wants to save.
        """
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        flags = [*(weight.grad is not None for weight in weights), stop, bad, due, trained]
        *has, stopped, bad_ones, wanted, shares = self.count_yes(flags)
        weights = [weight for weight, count in zip(weights, has, strict=True) if count]
        buffers = [(buffer, trained / shares if meant else float(self.leads)) for buffer, meant in list_buffers(network)]
        with torch.no_grad():
            parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
            parts += [buffer * share if share else torch.zeros_like(buffer) for buffer, share in buffers]
            flat = self.fabric.all_reduce(torch.cat([part.float().flatten() for part in parts]), reduce_op="sum")
            sums = iter(flat.split([part.numel() for part in parts]))
            for weight in weights:
                weight.grad = torch.empty_like(weight) if weight.grad is None else weight.grad
                weight.grad.copy_(next(sums).view(weight.shape))
            for buffer, _ in buffers:
                buffer.copy_(next(sums).view(buffer.shape))
        self.stopped, self.bad, self.due = stopped > 0, bad_ones > 0, wanted > 0

    def count_yes(self, answers: Sequence[bool]) -> list[int]:
        """How many ranks say yes to each of these; nobody waits for what a GPU has still to do."""
        given = torch.tensor(answers, dtype=torch.float32)
        if self.fabric.device.type == "cpu":
            given = self.fabric.all_reduce(given, reduce_op="sum")
        else:
            torch.distributed.all_reduce(given, group=open_hosts())
        return [int(count) for count in given.tolist()]

    def stops(self, stop: Callable[[], bool]) -> bool:
        """Whether to stop after the update that was just made: the same answer on every rank."""
        return stop() if self.count == 1 else self.stopped

    def saves(self, due: Callable[[], bool]) -> bool:
        """Whether to save after the update that was just made: the same answer on every rank."""
        return due() if self.count == 1 else self.due

    def start_sums(self, progress: Progress) -> None:
        """What was summed of an epoch before it was interrupted, or saved, is rank 0's to go on with."""
        if not self.leads:
            progress.loss_sum, progress.rows, progress.part_sums = 0.0, 0, {}

    def join_sums(self, progress: Progress) -> None:
        """The losses and rows that each rank has summed become those of all."""
        if self.count == 1:
            return
        losses, rows, parts = zip(*self.gather((progress.loss_sum, progress.rows, progress.part_sums)), strict=True)
        names = sorted({name for part in parts for name in part})
        progress.loss_sum, progress.rows = sum(losses), sum(rows)
        progress.part_sums = {name: sum(part.get(name, 0.0) for part in parts) for name in names}

    # -- batch norm ------------------------------------------------------------------------------------------------------

    def sync_norms(self, network: nn.Module) -> nn.Module:
        """The same network, whose batch norms take their statistics over the batches of all ranks."""
        return convert_sync_batchnorm(network)

    @cached_property
    def alone(self) -> Any:
        """A group of this rank by itself; all make theirs at once."""
        return torch.distributed.new_subgroups(1)[0]

    @contextmanager
    def apart(self, network: nn.Module) -> Iterator[None]:
        """Synchronised batch norms see each rank's batch alone: in a turn that has none for some, the others would wait."""
        norms = [part for part in network.modules() if isinstance(part, nn.SyncBatchNorm)]
        try:
            for norm in norms:
                norm.process_group = self.alone
            yield
        finally:
            for norm in norms:
                norm.process_group = None

    # -- prediction ------------------------------------------------------------------------------------------------------

    def predict(self, rows: Rows, batch: int, ask: Callable[[Rows], Outputs]) -> Outputs:
        """Raw outputs of all rows, on every rank, each row predicted by one of them.

        Args:
            batch: rows that are predicted at a time; each rank takes whole batches, as one process alone would make them.
            ask: rows -> name -> (rows, outputs).

        Raises:
            RunInterrupted: any rank was asked to stop.
        """
        if self.count == 1:
            return ask(rows)
        places = np.arange(len(rows))
        own = places[places // batch % self.count == self.rank]
        found: Outputs | None = {}
        try:
            if len(own):
                found = ask(rows.take(own))
        except RunInterrupted:
            found = None
        parts = self.gather((own, found))
        if any(found is None for _, found in parts):
            raise RunInterrupted("stopped")
        order = np.argsort(np.concatenate([own for own, _ in parts]))
        return {name: np.concatenate([found[name] for _, found in parts if found])[order] for name in parts[0][1]}


def list_buffers(network: nn.Module) -> list[tuple[torch.Tensor, bool]]:
    """Each buffer of floats, and whether it is a running statistic of a batch norm that trains."""
    norms = (part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training)
    moving = {id(value) for norm in norms for value in (norm.running_mean, norm.running_var)}
    return [(buffer, id(buffer) in moving) for buffer in network.buffers() if buffer.is_floating_point()]
