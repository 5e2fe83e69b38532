"""What several experiments or processes tell, as one stream."""

from __future__ import annotations

from comp.events import Event, FoldFinished, FoldStarted, Notice, RunFinished, RunStarted, StoreProgress
from comp.scale.relay import label, start_once

STARTED = RunStarted("exp001", "3f9a1c20", "/x", ["1"], 2, 10, 5, "cpu", "32", "accuracy", True)


def test_folds_notices_and_stores_are_named_by_their_experiment():
    told: list[Event] = []
    tell = label(told.append, "exp001")
    finished = RunFinished(True, {"per_fold": {"0": 0.9}}, 1.0, "exp001")
    notice, store = Notice("two rare classes", "warning"), StoreProgress("train", 1, 2)
    for event in (STARTED, FoldStarted("1", 16, 20), notice, store, finished):
        tell(event)
    started, fold, notice, store, end = told
    assert (started.folds, started.experiment) == (["exp001/1"], "exp001")
    assert (fold.fold, notice.text, notice.level, store.what) == (
        "exp001/1",
        "exp001: two rare classes",
        "warning",
        "exp001 train",
    )
    assert end is finished


def test_a_run_starts_once_with_all_its_folds():
    told: list[Event] = []
    tell = start_once(told.append, ["0", "1", "full"])
    end = FoldFinished("1", {}, -1, 1.0)
    for event in (STARTED, STARTED, end):
        tell(event)
    assert [type(event).__name__ for event in told] == ["RunStarted", "FoldFinished"]
    assert told[0].folds == ["0", "1", "full"]
