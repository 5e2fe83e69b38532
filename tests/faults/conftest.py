"""A run that nothing happened to, for those that something happens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Tiny
from tests.faults import child
from tests.faults.whole import RANDOM, list_results


@dataclass(frozen=True)
class Whole:
    """A workspace whose `exp001` was run and submitted by processes that nobody disturbed.

    Attributes:
        results: what it left.
        operations: what was done to files on the way, in order: of the run, of the submission.
    """

    tiny: Tiny
    results: dict[str, Any]
    operations: dict[str, list[str]]


@pytest.fixture(scope="session")
def make_random(tiny_source: Path, open_tiny: Callable[[Path, Path], Tiny]) -> Callable[[Path], Tiny]:
    """folder -> a workspace in it whose `exp001` has not run, and draws at random what can be drawn."""

    def make(folder: Path) -> Tiny:
        tiny = open_tiny(tiny_source, folder)
        tiny.write("exp001", RANDOM)
        return tiny

    return make


@pytest.fixture
def fresh(make_random: Callable[[Path], Tiny], tmp_path: Path) -> Tiny:
    return make_random(tmp_path)


@pytest.fixture(scope="session")
def whole(make_random: Callable[[Path], Tiny], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    import comp.cli.results
    import comp.cli.runs
    import comp.engine.fold
    import comp.material  # noqa: F401  once, for all processes that are forked here

    folder = tmp_path_factory.mktemp("whole")
    tiny, operations = make_random(folder), {}
    for args in (("run", "exp001"), ("submit", "exp001", "-m", "first")):
        ended = child.run(tiny, *args, prepare=child.count_operations(tiny.root, folder / args[0]))
        assert ended.code == 0, ended.err
        operations[args[0]] = (folder / args[0]).read_text().split()
    return Whole(tiny, list_results(tiny), operations)
