"""Killed at any moment and run again, a run ends with the bits of one that was never killed; and it never shows half a file."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.conftest import Tiny
from tests.faults import child
from tests.faults.conftest import Whole
from tests.faults.whole import assert_readable, assert_same, list_litter

RUN, SUBMIT = ("run", "exp001"), ("submit", "exp001", "-m", "first")


def test_killed_in_the_middle_of_what_it_writes(whole: Whole, fresh: Tiny) -> None:
    """The kernel ends the process within a write: in the store's build, a checkpoint, the OOF, a line of events, the ledger."""
    torn = {"pixels.u8": 5_000, "last.ckpt": 3_000, "oof.parquet": 700, "events.jsonl": 9}
    for name, count in torn.items():
        ended = child.run(fresh, *RUN, prepare=child.die_in(fresh.root, 2 if name == "last.ckpt" else 1, count, name))
        assert ended.killed, (name, ended)
        assert_readable(fresh)
    assert child.run(fresh, *RUN).code == 0
    assert child.run(fresh, *SUBMIT, prepare=child.die_in(fresh.root, 2, 30, "ledger.csv")).killed
    assert_readable(fresh)
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)
    assert list_litter(fresh) == []


def kill_somewhere(tiny: Tiny, dice: random.Random, args: tuple[str, ...], operations: list[str]) -> bool:
    """Kill the command before or within something that it writes, or some milliseconds after something it tells.

    Returns whether it was killed: it may have ended before.
    """
    if args == SUBMIT or dice.random() < 0.7:
        # Of what is left by then this is a fifth: most runs are killed several times before they are whole.
        number, torn = dice.randint(1, max(4, len(operations) // 5)), dice.choice([1, 60, 900, 9_000])
        return child.run(tiny, *args, prepare=child.die_in(tiny.root, number, torn)).killed
    kind = dice.choice(["RunStarted", "StageStarted", "EpochFinished", "PredictionProgress", "FoldFinished", "RunFinished"])
    process = child.start(tiny, *args, prepare=child.at_event(kind, 1, child.tell_parent))
    process.wait_for_word()
    time.sleep(0.1 * dice.random())
    process.send(signal.SIGKILL)
    return process.wait().killed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_random_again_and_again(whole: Whole, fresh: Tiny, seed: int) -> None:
    dice, kills = random.Random(seed), 0
    for args, wanted in ((RUN, 5), (SUBMIT, 6)):
        for _ in range(9):
            if kills < wanted:
                kills += kill_somewhere(fresh, dice, args, whole.operations[args[0]])
                assert_readable(fresh)
        assert child.run(fresh, *args).code == 0
    assert_same(fresh, whole.results)
    assert kills >= 5  # 60 in all
