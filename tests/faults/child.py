"""Real `comp` processes that something happens to: forked from this one, which has imported everything, with a fault laid in."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comp.events import Event
from tests.conftest import Tiny

Prepare = Callable[[], None]
"""Called in the child before the command: lays the fault in."""

LIMIT_S = 120.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Ended:
    """What a process left.

    Attributes:
        code: its exit code, minus the signal that killed it.
        out, err: what it printed.
    """

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code in (-signal.SIGKILL, -signal.SIGXFSZ)


@dataclass(frozen=True)
class Child:
    """A running command. `said`: where its output goes; `told`: what it writes to from `tell_parent`."""

    pid: int
    said: Path
    told: int

    def wait_for_word(self) -> None:
        """Until the child has called `tell_parent`, or has ended."""
        select.select([self.told], [], [], LIMIT_S)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        until = time.monotonic() + LIMIT_S
        while (done := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"the command hangs:\n{read(self.said, 'out')}{read(self.said, 'err')}")
            time.sleep(0.005)
        os.close(self.told)
        return Ended(os.waitstatus_to_exitcode(done[1]), read(self.said, "out"), read(self.said, "err"))


def read(said: Path, what: str) -> str:
    return said.with_suffix(f".{what}").read_text(errors="replace")


_numbers = iter(range(1_000_000))
_to_parent: list[int] = []


def start(tiny: Tiny, *args: str, prepare: Prepare = lambda: None) -> Child:
    """`comp ARGS` in a process of its own, in the workspace."""
    said = tiny.root.parents[2] / f"said{next(_numbers)}"  # not on the disk that a test may fill
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        return Child(pid, said, told)
    code = 70
    try:
        os.close(told)
        _to_parent[:] = [tell]
        _settle(tiny, said)
        prepare()
        from comp.cli import main

        code = main(list(args))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # not through stderr, which may be gone
        with open(said.with_suffix(".err"), "a") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(code)


def run(tiny: Tiny, *args: str, prepare: Prepare = lambda: None) -> Ended:
    return start(tiny, *args, prepare=prepare).wait()


def _settle(tiny: Tiny, said: Path) -> None:
    """As a process has it that a shell started: default signals, files for its output; no core for a kill by SIGXFSZ."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, what in ((1, "out"), (2, "err")):
        file = os.open(said.with_suffix(f".{what}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(tiny.root)
    import comp.engine.fold

    comp.engine.fold.CHECKPOINT_EVERY_S = 0.0


def tell_parent() -> None:
    os.write(_to_parent[0], b"!")


# ---- when ----------------------------------------------------------------------------------------------------------------


def at_event(kind: str, count: int, do: Callable[[], None]) -> Prepare:
    """`do` after the count-th event of this kind has been told."""

    def prepare() -> None:
        import comp.cli.runs

        open_view, left = comp.cli.runs.open_view, [count]

        def open_watched(as_json: bool) -> Any:
            view = open_view(as_json)
            tell = type(view).__call__

            class Watched(type(view)):
                def __call__(self, event: Event) -> None:
                    tell(self, event)
                    if type(event).__name__ == kind:
                        left[0] -= 1
                        if left[0] == 0:
                            do()

            view.__class__ = Watched
            return view

        comp.cli.runs.open_view = open_watched

    return prepare


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(kind: str, count: int = 1) -> Prepare:
    return at_event(kind, count, kill_self)


@dataclass(frozen=True)
class Operation:
    """Something done to the workspace's files: the file's name, and whether it is opened for writing."""

    name: str
    opens: bool
    path: str


def watch_files(root: Path, see: Callable[[Operation], None]) -> None:
    """`see` is called before each file of the workspace is made, written, renamed or removed, for the rest of this process."""
    inside = str(root) + os.sep

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = isinstance(flags, int) and flags & WRITES
            if not writes or not isinstance(path, (str, os.PathLike)):
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime"):
            path = args[0]
        else:
            return
        path = os.path.abspath(os.fspath(path)) if isinstance(path, (str, os.PathLike)) else ""
        if path.startswith(inside):
            see(Operation(_bare(os.path.basename(path)), event == "open", path))

    sys.addaudithook(hook)


def _bare(name: str) -> str:
    """`last.ckpt` of `.last.ckpt.123.tmp`: the file that a temporary one becomes."""
    return ".".join(name[1:].split(".")[:2]) if name.startswith(".") and name.endswith(".tmp") else name


def die_in(root: Path, number: int, torn: int, only: str = "") -> Prepare:
    """The kernel kills this process at the number-th operation on files (opening one named `only`).

    Args:
        torn: where the operation opens a file for writing, the bytes that still reach it (or a file written after it).
    """

    def prepare() -> None:
        left = [number]

        def see(operation: Operation) -> None:
            if only and (operation.name != only or not operation.opens):
                return
            left[0] -= 1
            if left[0]:
                return
            if operation.opens:
                before = os.path.getsize(operation.path) if os.path.exists(operation.path) else 0
                kill_when_larger(before + torn)
            else:
                kill_self()

        watch_files(root, see)

    return prepare


def kill_when_larger(size: int) -> None:
    """The kernel ends this process in the middle of the write that takes a file beyond so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def count_operations(root: Path, file: Path) -> Prepare:
    """Leaves the names of all operations on the workspace's files, one a line."""

    def prepare() -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        watch_files(root, lambda operation: os.write(descriptor, f"{operation.name}\n".encode()) and None)

    return prepare
