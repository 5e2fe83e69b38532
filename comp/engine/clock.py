"""Clock: where a fold's time goes, part by part, for `comp run --profile`.

At any moment the time belongs to exactly one part, so that the parts of a span add up to its wall time. A device that works on
its own is waited for where one part ends and the next begins; without --profile nothing is measured and nobody waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

from comp.events import PROFILE_PARTS

T = TypeVar("T")
NOTHING = nullcontext()
REST = PROFILE_PARTS[-1]


class Clock:
    """One that measures nothing, and costs a call."""

    on = False

    def part(self, name: str) -> AbstractContextManager[None]:
        """The time in here belongs to this part (one of PROFILE_PARTS), but for what inner parts take."""
        return NOTHING

    def watch(self, items: Iterable[T], name: str) -> Iterable[T]:
        """The same items; the time of waiting for each belongs to this part."""
        return items

    def take(self) -> tuple[float, dict[str, float]]:
        """Wall seconds since the last time (or since it was made), and part -> its seconds of them."""
        return 0.0, {}


OFF = Clock()


class Stopwatch(Clock):
    """One that measures. `now`: seconds of whatever clock."""

    on = True

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self.finish = find_barrier(device)
        self.now = now
        self.began = self.since = now()
        self.part_now = REST
        self.spent = dict.fromkeys(PROFILE_PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        before = self.turn(name)
        try:
            yield
        finally:
            self.turn(before)

    def watch(self, items: Iterable[T], name: str) -> Iterator[T]:
        waited_for = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(waited_for)
                except StopIteration:
                    return
            yield item

    def turn(self, name: str) -> str:
        """From now on the time belongs to this part. Returns the one before."""
        self.finish()
        now = self.now()
        self.spent[self.part_now] += now - self.since
        self.since = now
        before, self.part_now = self.part_now, name
        return before

    def take(self) -> tuple[float, dict[str, float]]:
        self.turn(self.part_now)
        wall_s, self.began = self.since - self.began, self.since
        spent, self.spent = self.spent, dict.fromkeys(PROFILE_PARTS, 0.0)
        return wall_s, spent


def find_barrier(device: torch.device) -> Callable[[], None]:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None
