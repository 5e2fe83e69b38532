"""Stopping: whether a run is to save and end, because somebody asked for it or because its hours are over."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType

MARGIN_S = 120.0
MARGIN_SHARE = 0.1
"""What is kept of the given time for saving, merging and the report: two minutes, and of a short time a tenth."""


@dataclass
class Stop:
    """The question that the engine asks between steps and between batches of a prediction; true: save and end.

    Attributes:
        asked: by Ctrl-C or a signal.
        deadline: of time.monotonic.
    """

    asked: bool = False
    deadline: float = math.inf

    def __call__(self) -> bool:
        return self.asked or time.monotonic() >= self.deadline

    @property
    def out_of_time(self) -> bool:
        """Whether it is the hours alone that end the run."""
        return not self.asked and time.monotonic() >= self.deadline


def end_after(hours: float, began: float) -> float:
    """The deadline of a run that is to be over in time. `began` and the result: of time.monotonic."""
    whole_s = 3600 * hours
    return began + whole_s - min(MARGIN_S, MARGIN_SHARE * whole_s)


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def hold_signals() -> Iterator[None]:
    """Processes that are started in here hear no signal until they `ignore_signals`; this one loses none of them.

    A terminal or a scheduler sends them to a whole group: the parent says to its children what becomes of them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing's, which lets them through again where it has to be started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """At the start of a child process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def catch_stop(deadline: float = math.inf) -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a question that is asked; a second Ctrl-C ends at once.

    A run that was started by nohup goes on when its terminal is closed.
    """
    stop = Stop(deadline=deadline)
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

    outlives = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (outlives and number == signal.SIGHUP)]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
