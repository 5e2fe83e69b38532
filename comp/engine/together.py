"""Together: restored networks that predict the same rows, each image read once for all of them, as many as memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from lightning_fabric import Fabric
from torch import nn

from comp.api import View
from comp.engine.memory import free_memory, measure_free
from comp.engine.predict import Member, Outputs, PredictBatch, predict_members, predict_views
from comp.engine.rows import Rows

SHARE = 0.5
"""Of what the device has free, that further networks and their answers may take; the rest is for what a batch needs. And of
what the machine has, that the answers may take there."""

Open = Callable[[], Member]
"""Restores one of the networks."""


@dataclass(frozen=True)
class Joint:
    """One prediction of several networks of a manifest.

    Attributes:
        outputs: how many numbers a network answers for a row in one view.
        progress: called with which of the networks are at it, and how many of how many rows are done, after each batch.
        tell: called with a sentence where memory does not hold all networks.
    """

    fabric: Fabric
    rows: Rows
    views: Mapping[str, View | None]
    batch: PredictBatch
    outputs: int
    progress: Callable[[range, int, int], None]
    tell: Callable[[str], None]

    def predict(self, networks: Sequence[Open]) -> Iterator[Outputs]:
        """What each of them answers, in their order; the same as if each predicted alone.

        Raises:
            RunError: one image alone does not fit into the device's memory.
        """
        most, at = len(networks), 0
        while at < len(networks):
            asked = networks[at : at + most]
            members = self.open_some(asked)
            found = self.ask(members, range(at, at + len(members)))
            if found is None or len(members) < len(asked):
                most = len(members) if found else max(1, len(members) // 2)
                self.tell(describe_passes(most, len(networks)))
            members.clear()
            free_memory()
            at += len(found or ())
            while found:
                yield found.pop(0)  # what was handed out is the taker's, to keep or not

    def open_some(self, networks: Sequence[Open]) -> list[Member]:
        """The first, and as many of the others as memory has room for beside it."""
        members = [networks[0]()]
        answers = 4 * len(self.rows) * self.outputs * len(self.views)
        each = count_bytes(members[0].network) + 2 * answers
        here = SHARE * measure_free(torch.device("cpu")) / max(1, answers) - 1
        room = max(0, int(min(SHARE * measure_free(self.fabric.device) / max(1, each), here)))
        return [*members, *(network() for network in networks[1 : 1 + room])]

    def ask(self, members: Sequence[Member], now: range) -> list[Outputs] | None:
        """None: memory does not hold a batch beside these members, of which there are several."""

        def progress(done: int, total: int) -> None:
            self.progress(now, done, total)

        if len(members) == 1:
            own = replace(self.rows, table=members[0].table)
            return [predict_views(members[0].network, self.fabric, own, self.views, self.batch, progress)]
        try:
            return predict_members(members, self.fabric, self.rows, self.views, self.batch, progress)
        except torch.OutOfMemoryError:
            return None


def count_bytes(network: nn.Module) -> int:
    return sum(part.numel() * part.element_size() for part in chain(network.parameters(), network.buffers()))


def describe_passes(most: int, count: int) -> str:
    return (
        f"the memory holds {most} of the {count} models at a time: the images are looked at {-(-count // most)} times, "
        "where one look would do for all"
    )
