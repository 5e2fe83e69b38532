"""Exploring: many drawn cases through one check, in bounded time, with an eye on every file that is written.

`few` cases of a fixed seed run with `make test`, `many` with `make test-all`; COMP_FUZZ_SEED=7 draws others, COMP_FUZZ_TIMES=10
ten times as many.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

SLOWEST_S = 5.0
"""CPU seconds that one case may take; a hang is ended by the tests' own time limit."""


def counts(few: int, many: int) -> Any:
    """How many cases a test tries, as its argument `count`."""
    times = int(os.environ.get("COMP_FUZZ_TIMES", "1"))
    return pytest.mark.parametrize("count", [few, pytest.param(many * times, marks=pytest.mark.slow)])


def explore(strategy: SearchStrategy[Any], count: int, check: Callable[[Any], None], slowest_s: float = SLOWEST_S) -> None:
    """Draw `count` cases; the smallest that fails is shown."""

    @seed(int(os.environ.get("COMP_FUZZ_SEED", "0")))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(strategy)
    def run(case: Any) -> None:
        started = time.process_time()
        check(case)
        took = time.process_time() - started
        assert took < slowest_s, f"took {took:.1f} s of CPU"

    run()


# ---- what is written -----------------------------------------------------------------------------------------------------

WRITES = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
}
"""Audit event of the interpreter -> which of its arguments are paths that change."""

_watching: list[list[str]] = []


def _hear(event: str, given: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        changed = given[:1] if given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else ()
    else:
        # Below a folder that is open already (rmtree) a name says nothing; the folder itself was told.
        whole = event == "os.truncate" or given[-1:] in ((-1,), (None,))
        changed = tuple(given[at] for at in WRITES.get(event, ())) if whole else ()
    paths = (os.fsdecode(path) for path in changed if isinstance(path, str | bytes | os.PathLike))
    _watching[-1] += [os.path.abspath(path) for path in paths]


@contextmanager
def nothing_written_outside(root: Path) -> Iterator[None]:
    """Every file or folder that is made, opened for writing, renamed or removed lies in `root`, links followed."""
    if not hasattr(sys, "_comp_fuzz_hears"):
        sys.addaudithook(_hear)
        sys._comp_fuzz_hears = True  # type: ignore[attr-defined]
    paths: list[str] = []
    _watching.append(paths)
    try:
        yield
    finally:
        _watching.pop()
    # Libraries make folders of their own when they are imported, right below the folder for temporary files.
    inside, temporary = os.path.realpath(root) + os.sep, tempfile.gettempdir()
    outside = {
        path
        for path in paths
        if not (os.path.realpath(path) + os.sep).startswith(inside)
        and not path.endswith(".pyc")
        and path != os.devnull
        and "__pycache__" not in path
        and os.path.dirname(path) != temporary
    }
    assert not outside, f"written outside {root}: {sorted(outside)}"
