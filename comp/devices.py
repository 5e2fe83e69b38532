"""Devices: a fold that is shared by several of them, each with a process of its own (a rank).

This process plans the run, holds the fold's lock and tells of it; the ranks are given an order, open everything anew and train.
Only plain data passes in between. A rank whose parent is gone ends at once, since nobody holds the fold's lock any more.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from comp.errors import CompError, RunError, RunInterrupted
from comp.events import Emit, Event, Notice, from_record, to_record
from comp.manifest import Manifest
from comp.orders import Order, make_order, open_order
from comp.plan import RunPlan
from comp.stopping import hold_signals, ignore_signals

if TYPE_CHECKING:
    from comp.engine.ranks import Ranks
    from comp.material import AskTeachers

LOOK_EVERY_S = 0.2
GRACE_S = 10.0
"""How long the other ranks may take to end by themselves when one has failed: who waits for it may wait for ever."""

CULPRITS = ("failed", "died", "interrupted", "crashed", "done")
"""How ranks end, the likeliest cause first: where one dies or fails, the others crash for want of its answers."""


def describe_steps(manifest: Manifest) -> str:
    """What an update is made of on several devices; nothing of it is changed for their sake."""
    devices, lines = manifest.values["train"]["devices"], []
    for stage in manifest.stages:
        train, lr = stage["train"], stage["optimizer"].get("lr")
        over = f", {train['accumulate']} of them accumulated" if train["accumulate"] > 1 else ""
        rows = devices * train["batch_size"] * train["accumulate"]
        rate = "" if lr is None else f", at a learning rate of {lr:g}"
        lines.append(f"batches of {train['batch_size']} on each{over}, {rows} rows to an update{rate}")
    if len(set(lines)) > 1:
        lines = [f"{stage['name']}: {line}" for stage, line in zip(manifest.stages, lines, strict=True)]
    told = "; ".join(dict.fromkeys(lines))
    return f"{devices} devices share each fold: {told} (as the manifest says, whatever the number of devices)"


def train_on_devices(plan: RunPlan, fold: str, emit: Emit, stop: Callable[[], bool]) -> None:
    """Train one fold, whose lock this process holds, by a rank for each of `train.devices`.

    Raises:
        RunInterrupted: a stop was asked for; the state is saved.
        RunError: training failed, or a rank died; what was saved last is kept.
        CompError: as a rank met it.
    """
    count, order = plan.manifest.values["train"]["devices"], make_order(plan, fold)
    for again in (True, False):
        port = find_port()
        ranks = [RankProcess(number, order, port) for number in range(count)]
        try:
            ends = follow(ranks, emit, stop)
            if again and lost_port(ends):
                continue
            raise_end(fold, ranks, ends)
            for rank in ranks:
                rank.process.join(GRACE_S)
            return
        finally:
            for rank in ranks:
                rank.close()


class RankProcess:
    """A rank, as its parent sees it."""

    def __init__(self, number: int, order: Order, port: int) -> None:
        self.number = number
        context = open_context()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, number, port, asdict(order)), name=f"comp rank {number}")
        with hold_signals():
            self.process.start()
        theirs.close()  # so that the pipe ends where the rank does

    def stop(self) -> None:
        """Ask it to save and end."""
        try:
            self.pipe.send("stop")
        except OSError:  # it has died, which its end of the pipe will tell
            pass

    def receive(self) -> dict[str, Any]:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return {"say": "died"}

    def describe_end(self) -> str:
        """How the process ended: `was killed by SIGKILL`."""
        self.process.join(GRACE_S)
        code = self.process.exitcode
        return f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def open_context() -> multiprocessing.context.BaseContext:
    """Where it can be, ranks are forked from a process that has imported what they need and never touched a device: every fold's
    ranks would otherwise spend ten seconds on importing it anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["comp.material"])
    return context


def follow(ranks: list[RankProcess], emit: Emit, stop: Callable[[], bool]) -> dict[int, dict[str, Any]]:
    """Hand on what the ranks tell until all have ended, or the rest will not. Returns rank -> how it ended, the first first.

    Raises:
        RunInterrupted: a stop was asked for before they began.
    """
    ends: dict[int, dict[str, Any]] = {}
    warned: dict[str, int] = {}  # text -> the rank that said so first: most are true of all
    of_pipe = {rank.pipe: rank for rank in ranks}
    asked, begun, deadline = False, False, math.inf
    while len(ends) < len(ranks) and time.monotonic() < deadline:
        if not asked and stop():
            asked = True
            if not begun:  # nothing is trained yet, and opening everything takes a while
                raise RunInterrupted("stopped")
            for rank in ranks:
                rank.stop()
        for pipe in wait([rank.pipe for rank in ranks if rank.number not in ends], LOOK_EVERY_S):
            rank = of_pipe[pipe]
            message = rank.receive()
            if message["say"] == "event":
                begun, event = True, from_record(message["event"])
                if not is_warning(event) or warned.setdefault(event.text, rank.number) == rank.number:
                    emit(event)
            else:
                ends[rank.number] = message
        # Rank 0 may take its time to save what all were interrupted in.
        over = 0 in ends or any(end["say"] not in ("done", "interrupted") for end in ends.values())
        deadline = min(deadline, time.monotonic() + GRACE_S) if over else math.inf
    return ends


def raise_end(fold: str, ranks: list[RankProcess], ends: Mapping[int, Mapping[str, Any]]) -> None:
    """Raises what ended the fold, unless all ranks are done."""
    number, end = min(ends.items(), key=lambda item: CULPRITS.index(item[1]["say"]))
    if end["say"] == "died":
        raise RunError(
            f"fold {fold}: the process of device {number} {ranks[number].describe_end()}, perhaps for want of memory; the last "
            "saved epoch is kept, and running again goes on from it."
        )
    if end["say"] == "interrupted":
        raise RunInterrupted("stopped", lost=end["lost"])
    if end["say"] == "failed":
        raise (RunError if end["while_running"] else CompError)(end["why"])
    if end["say"] == "crashed":
        error = RuntimeError(f"device {number}: {end['why']}")
        error.add_note(end["trace"])
        raise error


def is_warning(event: Event) -> bool:
    return isinstance(event, Notice) and event.level == "warning"


def lost_port(ends: Mapping[int, Mapping[str, Any]]) -> bool:
    """Whether another program took the ranks' port before rank 0, which starts seconds later, could."""
    return 0 in ends and "EADDRINUSE" in ends[0].get("why", "")


def find_port() -> int:
    """One of this machine that is free, for the ranks to find each other."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# ---- in a rank -----------------------------------------------------------------------------------------------------------


def serve(pipe: Connection, number: int, port: int, order: Mapping[str, Any]) -> None:
    """Train the order's fold as one of its ranks, and say how that ended."""
    ignore_signals()
    multiprocessing.set_start_method(None, force=True)  # loader workers start as the platform's own do, not as this process did
    stopped = threading.Event()
    threading.Thread(target=listen, args=(pipe, stopped), daemon=True).start()
    try:
        train_as_rank(Order(**order), number, port, pipe, stopped.is_set)
        end = {"say": "done"}
    except RunInterrupted as interrupted:
        end = {"say": "interrupted", "lost": interrupted.lost}
    except CompError as error:
        end = {"say": "failed", "why": str(error), "while_running": isinstance(error, RunError)}
    except Exception as error:
        end = {"say": "crashed", "why": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    pipe.send(end)


def listen(pipe: Connection, stopped: threading.Event) -> None:
    """Wait for the parent's word to stop, or for its end."""
    while True:
        try:
            pipe.recv()
        except (EOFError, OSError):
            os._exit(1)
        stopped.set()


def train_as_rank(order: Order, number: int, port: int, pipe: Connection, stop: Callable[[], bool]) -> None:
    from comp.engine.ranks import Ranks, join_ranks
    from comp.material import open_material

    def tell(event: Event) -> None:
        if number == 0 or is_warning(event):
            pipe.send({"say": "event", "event": to_record(event)})

    def keep_silent(event: Event) -> None:
        """The parent has read the images itself, and told of it."""

    plan = open_order(order)
    fabric = join_ranks(plan.manifest.values["train"], number, port)
    material = open_material(plan, keep_silent, stop, fabric)
    with closing(material):
        replace(material, emit=tell).train_fold(order.fold, stop, ask_once(plan, Ranks(fabric)))


def ask_once(plan: RunPlan, ranks: Ranks) -> AskTeachers | None:
    """The run's teachers, who answer rank 0 for all: what they are sure of decides which rows there are."""
    if not plan.teachers:
        return None
    from comp.teachers import Teachers

    teachers = Teachers(plan)

    def ask(fold: str, train: Any, test: Any) -> Any:
        teach = teachers.of(fold, train, test)
        return lambda names, kind: ranks.agree(lambda: teach(names, kind))

    return ask
