"""A crew: child processes, each with a device of its own, that carry out one order after another.

Only plain data passes between parent and child. A child whose parent is gone saves what it trains, and ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from comp.engine.loader.pace import CORES
from comp.errors import CompError, RunError, RunInterrupted, WorkspaceError
from comp.events import Event, to_record
from comp.orders import Order
from comp.scale.cluster import throttle
from comp.scale.room import CPU, Room, look_for_room
from comp.stopping import hold_signals, ignore_signals

TICKS_PER_S = 8.0
END_S = 30.0


@dataclass(frozen=True)
class Look:
    """An order whose need of memory is to be found out."""

    order: Order


class Child:
    """A process and its device, as its parent sees it.

    Attributes:
        device: the number of a GPU among those that are visible here, or `cpu`.
        order: what it is at; None: nothing.
        ready: whether it has said that its device is there.
        looking: the order whose need of memory it is finding out.
        rooms: what it has found; `blind`: why it could not.
    """

    def __init__(self, device: str, threads: int, cores: int) -> None:
        self.device = device
        self.order: Order | None = None
        self.ready = False
        self.looking: Order | None = None
        self.rooms: list[Room] = []
        self.blind = ""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work_off, args=(theirs, device), name=f"comp {device}")
        with environment({**describe_place(device, threads), CORES: str(cores)}), hold_signals():
            self.process.start()
        theirs.close()  # so that the pipe ends where the child does

    def give(self, order: Order) -> None:
        self.order = order
        self.send({"say": "train", "order": asdict(order)})

    def look(self, order: Order) -> None:
        """Have it find out how much memory the order's fold takes."""
        self.looking = order
        self.send({"say": "look", "order": asdict(order)})

    def share_cores(self, cores: int) -> None:
        """From now on so many are its own."""
        self.send({"say": "cores", "cores": cores})

    def stop(self) -> None:
        """Ask it to save and to end what it is at."""
        self.send({"say": "stop"})

    def send(self, message: dict[str, Any]) -> None:
        try:
            self.pipe.send(message)
        except OSError:  # it has died, which its end of the pipe will tell
            pass

    def receive(self) -> dict[str, Any] | None:
        """What it says; None: it has died."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def describe_end(self) -> str:
        """How the process ended: `was killed by SIGKILL`."""
        self.process.join(END_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def close(self) -> None:
        """Let it end; it saves first where it is at work."""
        self.pipe.close()
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def count_threads(devices: Sequence[str]) -> int:
    """What each child on the CPU takes of the machine's cores."""
    return max(1, (os.cpu_count() or 1) // max(1, devices.count(CPU)))


def describe_place(device: str, threads: int) -> dict[str, str]:
    """The environment that gives a process its device.

    Raises:
        WorkspaceError: this process may not see so many GPUs (CUDA_VISIBLE_DEVICES).
    """
    if device == CPU:
        return {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return {"CUDA_VISIBLE_DEVICES": device}
    known = [part.strip() for part in visible.split(",") if part.strip()]
    if int(device) >= len(known):
        raise WorkspaceError(f"--gpus {device}: CUDA_VISIBLE_DEVICES={visible} leaves {len(known)} GPUs here, counted from 0.")
    return {"CUDA_VISIBLE_DEVICES": known[int(device)]}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """What a process that is started in here inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# ---- in the child --------------------------------------------------------------------------------------------------------


def work_off(pipe: Connection, device: str) -> None:
    """Carry out orders until the parent has no more, or is gone."""
    ignore_signals()
    multiprocessing.set_start_method(None, force=True)  # loader workers start as the platform's own do, not as this process did
    orders: SimpleQueue[Order | Look | None] = SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=listen, args=(pipe, orders, stopped), daemon=True).start()
    say = Say(pipe)
    say({"say": "ready", "missing": find_missing(device)})
    while (order := orders.get()) is not None:
        say(look(order.order, say, stopped) if isinstance(order, Look) else carry(order, say, stopped))


def listen(pipe: Connection, orders: SimpleQueue[Order | Look | None], stopped: threading.Event) -> None:
    """Take what the parent says, while the process trains."""
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            stopped.set()
            orders.put(None)
            return
        if message["say"] == "stop":
            stopped.set()
        elif message["say"] == "cores":
            os.environ[CORES] = str(message["cores"])
        else:
            order = Order(**message["order"])
            orders.put(Look(order) if message["say"] == "look" else order)


class Say:
    """Sends to the parent. Where that is gone nobody listens, and the process goes on to save."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.lock = threading.Lock()

    def __call__(self, message: dict[str, Any]) -> None:
        try:
            with self.lock:
                self.pipe.send(message)
        except OSError:
            pass


def find_missing(device: str) -> str:
    """Why the device cannot be used; empty where it can."""
    if device == CPU:
        return ""
    from comp.engine.device import device_kind  # torch, which must not be imported before the environment says what it sees

    return (
        "" if device_kind() == "cuda" else f"--gpus {device}: there is no such GPU on this machine (`nvidia-smi -L` lists them)."
    )


def look(order: Order, say: Say, stopped: threading.Event) -> dict[str, Any]:
    """Find out what memory the order's fold takes. What goes wrong is said; the fold, if it is trained, will meet it again."""

    def tell(event: Event) -> None:
        say({"say": "event", "event": to_record(event)})

    try:
        return {"say": "room", "room": asdict(look_for_room(order, throttle(tell, TICKS_PER_S), stopped.is_set))}
    except Exception as error:
        why = str(error) if isinstance(error, CompError) else f"{type(error).__name__}: {error}"
        return {"say": "room", "room": None, "why": why}


def carry(order: Order, say: Say, stopped: threading.Event) -> dict[str, Any]:
    """Carry out one order; returns how it ended."""
    from comp.work import carry_out

    def tell(event: Event) -> None:
        say({"say": "event", "event": to_record(event)})

    try:
        carry_out(order, throttle(tell, TICKS_PER_S), stopped.is_set)
    except RunInterrupted as interrupted:
        return {"say": "interrupted", "lost": interrupted.lost}
    except CompError as error:
        return {"say": "failed", "why": str(error), "while_running": isinstance(error, RunError)}
    except Exception as error:
        return {"say": "crashed", "why": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    return {"say": "done"}
