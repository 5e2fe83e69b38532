"""Memory that runs out, the machine's or the device's: one clear message, what was saved is kept, and it goes on."""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable

import pytest

from tests.conftest import Tiny
from tests.faults import child
from tests.faults.child import at_event
from tests.faults.whole import assert_readable

LARGE = """\
model: {use: cnn, widths: [64, 64], hidden: 16}
image: {size: 64}
augment: []
train: {epochs: 2, batch_size: 32, workers: 0, threads: 1}
"""
LARGER_LATER = LARGE.replace("epochs: 2, ", "") + "stages: [{name: small, epochs: 1, train: {batch_size: 4}}, {name: large, epochs: 1}]\n"
"""After its first epoch a process has what further ones like it need."""


def allow_more(size: int) -> Callable[[], None]:
    """This process may have so many bytes more than it has now."""

    def limit() -> None:
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, resource.RLIM_INFINITY))

    return limit


@pytest.mark.slow
@pytest.mark.parametrize("event", ["RunStarted", "FoldStarted", "StageStarted", "EpochFinished"])
def test_the_machines_memory_runs_out(tiny: Tiny, event: str) -> None:
    tiny.write("exp001", LARGER_LATER if event == "EpochFinished" else LARGE)
    ended = child.run(tiny, "run", "exp001", prepare=at_event(event, 1, allow_more(4 * 2**20)))
    assert ended.code == 1 and "Traceback" not in ended.err and "fault of comp" not in ended.err, ended.err
    assert "memory" in ended.err and "train.batch_size" in ended.err
    assert_readable(tiny)
    assert child.run(tiny, "run", "exp001").code == 0


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_a_second_fold_lives_on_what_the_first_took(tiny: Tiny) -> None:
    tiny.write("exp001", LARGE)
    ended = child.run(tiny, "run", "exp001", prepare=at_event("FoldFinished", 1, allow_more(4 * 2**20)))
    assert ended.code == 0, ended.err
