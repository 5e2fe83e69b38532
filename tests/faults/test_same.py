"""The same manifest gives the same result, whatever works on it beside, in whatever order, and whatever the clock says."""

from __future__ import annotations

import time

import pytest

from comp.engine.checkpoint import load_weights
from comp.runs import find_run
from tests.conftest import Tiny
from tests.faults import child
from tests.faults.child import at_event
from tests.faults.conftest import Whole
from tests.faults.whole import assert_same, run_folder

RUN, SUBMIT = ("run", "exp001"), ("submit", "exp001", "-m", "first")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "3", "auto"])
def test_any_number_of_workers_and_any_order_of_folds(whole: Whole, fresh: Tiny, workers: str) -> None:
    more = ("--set", f"train.workers={workers}")
    for fold in ("1", "0"):
        assert child.run(fresh, *RUN, *more, "--only", fold).code == 0
    assert child.run(fresh, *SUBMIT).code == 0
    manifest = {"manifest.resolved.yaml": (run_folder(fresh) / "manifest.resolved.yaml").read_text()}  # which names the workers
    assert_same(fresh, {**whole.results, **manifest})


@pytest.mark.slow
def test_seed_0_is_a_seed(tiny: Tiny) -> None:
    found = {}
    for seed in (0, 1, 42, 0):
        tiny.edit("experiments/exp001/manifest.yaml", "model:", f"seed: {seed}\nmodel:")
        folder = tiny.run(only=[0]).folder
        weights = (folder / "fold0/last.safetensors").read_bytes()
        assert found.setdefault(seed, weights) == weights and load_weights(folder / "fold0/last.safetensors")
        (folder / "fold0/fold.json").unlink()  # the second 0 trains again
        tiny.edit("experiments/exp001/manifest.yaml", f"seed: {seed}\n", "")
    assert len(set(found.values())) == 3


def set_clock_back() -> None:
    now = time.time
    time.time = lambda: now() - 86_400.0


@pytest.mark.slow
def test_a_clock_that_goes_backwards(whole: Whole, fresh: Tiny) -> None:
    """The results are the same; and the newest run is the one that was made last, whatever the clock said."""
    assert child.run(fresh, *RUN, prepare=at_event("EpochFinished", 2, set_clock_back)).code == 0
    assert child.run(fresh, *SUBMIT, prepare=set_clock_back).code == 0
    assert_same(fresh, whole.results)
    first = run_folder(fresh).name
    assert child.run(fresh, *RUN, "--set", "seed=7", prepare=set_clock_back).code == 0
    assert find_run(fresh.project, "exp001").digest != first
    assert child.run(fresh, "board").code == 0 == child.run(fresh, "cache").code
