"""Two processes at once: locks die with their owner, a fold is trained once, a version is written once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from comp.ledger import read_ledger
from tests.conftest import Tiny
from tests.faults import child
from tests.faults.child import at_event
from tests.faults.conftest import Whole
from tests.faults.whole import assert_readable, assert_same

RUN, SUBMIT = ("run", "exp001"), ("submit", "exp001", "-m", "first")


def test_who_waits_for_a_fold_takes_it_over_from_a_killed_process(whole: Whole, fresh: Tiny) -> None:
    def wait_for_ever() -> None:
        child.tell_parent()
        time.sleep(child.LIMIT_S)

    first = child.start(fresh, *RUN, prepare=at_event("EpochFinished", 2, wait_for_ever))
    first.wait_for_word()
    second = child.start(fresh, *RUN, prepare=at_event("FoldFinished", 1, child.tell_parent))
    second.wait_for_word()  # it has trained the next free fold, and now waits for the other
    first.send(signal.SIGKILL)
    assert first.wait().killed
    ended = second.wait()
    assert ended.code == 0 and "fold 0  in another process" in ended.out
    assert ended.out.index("fold 1  done") < ended.out.index("resumed after epoch 1")
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_two_submissions_at_once(whole: Whole, fresh: Tiny) -> None:
    """Two versions and two rows; of the same content, one."""
    assert child.run(fresh, *RUN).code == 0
    others = ("submit", "exp001", "--tta", "vflip")
    for args in ((SUBMIT, others), (SUBMIT, others)):
        assert [process.wait().code for process in [child.start(fresh, *words) for words in args]] == [0, 0]
        files = sorted(path.name for path in (fresh.root / "submissions/exp001").glob("v*"))
        assert files == ["v001.csv", "v001.json", "v002.csv", "v002.json"]
        assert sorted(entry.version for entry in read_ledger(fresh.project)) == ["v001", "v002"]
    assert_readable(fresh)


@pytest.mark.slow
def test_commands_as_a_shell_starts_them_killed_at_any_line(whole: Whole, fresh: Tiny) -> None:
    dice = random.Random(0)
    for line in (1, 2, 4, 7, 9, 11):
        command = subprocess.Popen([sys.executable, "-m", "comp", *RUN], cwd=fresh.root, stdout=subprocess.PIPE, text=True)
        for _ in range(line):
            command.stdout.readline()
        time.sleep(0.1 * dice.random())
        command.kill()
        command.communicate()
        assert_readable(fresh)
    assert child.run(fresh, *RUN).code == 0 == child.run(fresh, *SUBMIT).code
    assert_same(fresh, whole.results)
