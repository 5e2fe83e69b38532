"""Pace: how long a batch takes to make and a step to run, and how many worker processes pay."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from comp.errors import WorkspaceError

CORES = "COMP_CORES"
"""Of the environment: how many cores are this process's, where several that know nothing of each other share them."""

GROUP = Path("/sys/fs/cgroup")

SKIPPED, MEASURED = 2, 6
"""First batches that are not counted (libraries warm up), and those that are."""

HEADROOM = 1.25
MOST_WORKERS = 16
WORTH_S, WORTH_SPAWNED_S = 5.0, 30.0
"""Seconds of making batches below which starting workers costs more than it saves: forked ones, and those that import anew."""

MEMORY_SHARE = 0.25
"""What the batches that are handed over may take of the free memory."""

DOMINATES = 2.0
"""How many times as long as the step a batch must take to make before a CPU's model gives up cores for it."""


@dataclass
class Pace:
    """Times of a stage's first batches.

    Attributes:
        name: the stage's: what is found holds for it in every fold.
        planned: how many batches the stage will make in all.
        tell: told once what was chosen, and why.
        times: (seconds to make a batch, seconds of its step).
    """

    name: str
    planned: int
    tell: Callable[[str], None]
    times: list[tuple[float, float]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Batches that are still to be measured."""
        return SKIPPED + MEASURED - len(self.times)

    def medians(self) -> tuple[float, float]:
        """Seconds to make a batch, and of a step."""
        make, step = zip(*self.times[SKIPPED:], strict=True)
        return statistics.median(make), statistics.median(step)


@dataclass(frozen=True)
class Machine:
    """What a choice depends on besides the times.

    Attributes:
        cores: that this process may use.
        on_gpu: whether the model is elsewhere.
        readers: threads that read images where batches are made without workers; a worker has one.
        forks: whether a worker is a copy of this process.
        most: workers that there is memory for.
    """

    cores: int
    on_gpu: bool
    readers: int = 1
    forks: bool = True
    most: int = MOST_WORKERS


def choose_workers(make_s: float, step_s: float, planned: int, machine: Machine) -> int:
    """As many as keep the device busy.

    On a CPU the cores are the model's, unless making a batch takes twice as long as its step; then half of them are. Threads that
    read images already use them all.
    """
    if make_s * planned < (WORTH_S if machine.forks else WORTH_SPAWNED_S):
        return 0
    if machine.on_gpu:
        wanted = math.ceil(HEADROOM * make_s * machine.readers / step_s)
        return min(max(1, wanted), max(1, machine.cores - 1), machine.most, MOST_WORKERS)
    if machine.readers > 1 or make_s < DOMINATES * step_s:
        return 0
    return min(math.ceil(make_s / step_s), machine.cores // 2, machine.most, MOST_WORKERS)


def describe_choice(count: int, make_s: float, step_s: float) -> str:
    workers = "1 worker" if count == 1 else f"{count or 'no'} workers"
    return f"loader: {workers} (a batch takes {show_ms(make_s)} to make, a step {show_ms(step_s)})"


def show_ms(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"


def count_cores(processes: int = 1) -> int:
    """Cores that this process may use. `processes`: how many share what it was given (the ranks of a fold).

    Raises:
        WorkspaceError: COMP_CORES is no number from 1 on.
    """
    given = os.environ.get(CORES, "").strip()
    if given and not (given.isdecimal() and int(given)):
        raise WorkspaceError(f"{CORES} is {given!r}; wanted how many cores this process may use, from 1 on, as in {CORES}=4")
    return max(1, (int(given) if given else count_all_cores()) // processes)


def count_all_cores() -> int:
    # Not os.cpu_count: a scheduler may have bound the process to some of them.
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, measure_quota())))


def measure_quota() -> float:
    """Cores' worth of time that the control group's limit (a container's) leaves; infinite without one."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((GROUP / name).read_text() for name in names).split()
            if int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError):  # not there, or `max`
            continue
    return math.inf


def share_machine() -> float:
    """This process's part of the machine, by its part of the cores: 1 where it shares them with no other of ours."""
    return min(1.0, count_cores() / count_all_cores())
