"""Who ends a run: a scheduler, a closed terminal, a closed pipe, the kernel. What was trained is kept, and it goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios
import time
from collections.abc import Callable

import pytest

from comp.events import read_events
from tests.conftest import Tiny
from tests.faults import child
from tests.faults.child import at_event
from tests.faults.conftest import Whole
from tests.faults.whole import assert_same, run_folder

RUN, SUBMIT = ("run", "exp001"), ("submit", "exp001", "-m", "first")


def told(tiny: Tiny, kind: str) -> list[dict]:
    return [record for record in read_events(run_folder(tiny) / "events.jsonl") if record["event"] == kind]


def send_self(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.slow
def test_sighup_and_sigterm_save_and_say_how_to_go_on(whole: Whole, fresh: Tiny) -> None:
    for number, event in ((signal.SIGHUP, "StageStarted"), (signal.SIGTERM, "EpochFinished"), (signal.SIGTERM, "FoldStarted")):
        ended = child.run(fresh, *RUN, prepare=at_event(event, 1, send_self(number)))
        assert ended.code == 130
        assert ended.err == "interrupted; everything is saved: `comp run exp001` goes on where it stopped.\n"
    assert len(told(fresh, "RunStopped")) == 3
    assert child.run(fresh, *RUN).code == 0 == child.run(fresh, *SUBMIT).code
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_a_terminal_that_is_closed(whole: Whole, fresh: Tiny) -> None:
    """The kernel sends SIGHUP, and from then on nothing can be printed: the run saves itself all the same."""
    terminal, line = pty.openpty()

    def lay() -> None:
        os.close(terminal)
        os.setsid()
        fcntl.ioctl(line, termios.TIOCSCTTY, 0)
        os.dup2(line, 1)
        os.dup2(line, 2)
        at_event("EpochFinished", 2, child.tell_parent)()

    process = child.start(fresh, *RUN, prepare=lay)
    os.close(line)
    process.wait_for_word()
    os.close(terminal)
    assert process.wait().code == 130
    assert [record["why"] for record in told(fresh, "RunStopped")] == ["interrupted"]
    assert not list((fresh.root / ".comp").glob("crash*"))
    ended = child.run(fresh, *RUN)
    assert ended.code == 0 and "resumed after epoch" in ended.out
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_a_reader_that_goes_away(whole: Whole, fresh: Tiny) -> None:
    """As in `comp run exp001 | head -1`: the run is worth more than its lines."""
    reader, writer = os.pipe()
    os.close(reader)

    def lay() -> None:
        os.dup2(writer, 1)

    process = child.start(fresh, *RUN, prepare=lay)
    os.close(writer)
    ended = process.wait()
    assert ended.code == 0 and ended.err == ""
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_a_loader_worker_that_the_kernel_kills(whole: Whole, fresh: Tiny) -> None:
    fresh.edit("experiments/exp001/manifest.yaml", "workers: 0", "workers: 1")
    ended = child.run(fresh, *RUN, prepare=at_event("EpochFinished", 2, kill_children))
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "a loader worker died" in ended.err and "train.workers" in ended.err
    assert told(fresh, "RunStopped")
    assert child.run(fresh, *RUN).code == 0 == child.run(fresh, *SUBMIT).code
    assert_same(fresh, {**whole.results, "manifest.resolved.yaml": (run_folder(fresh) / "manifest.resolved.yaml").read_text()})


def kill_children() -> None:
    me = str(os.getpid())
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == me:
                os.kill(int(entry), signal.SIGKILL)
    time.sleep(0.2)
