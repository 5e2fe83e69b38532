from __future__ import annotations

from dataclasses import replace

import pytest

from comp.events import (
    FoldFinished,
    FoldQueued,
    FoldSkipped,
    FoldStarted,
    PredictionProgress,
    RunFinished,
    StageStarted,
    StepFinished,
    StoreProgress,
)
from comp.report.progress import RunProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def progress():
    return RunProgress(clock=Clock())


def begin(progress, story, *folds):
    progress.apply(story.start(folds))
    progress.apply(FoldStarted(folds[0], 16, 20, 0))
    progress.apply(StageStarted(folds[0], "train", 3, 4))


def test_the_best_score_is_kept_in_the_metrics_direction(progress, story):
    for event in story.tell():
        progress.apply(event)
    assert (progress.folds["0"].score, progress.folds["0"].best, progress.folds["0"].best_epoch) == (0.875, 0.9, 1)
    assert [fold.state for fold in progress.folds.values()] == ["done", "done"]
    assert progress.finished["exp042"].scores["pooled"] == 0.86

    falling = RunProgress()
    falling.apply(story.start(("0",), greater_is_better=False))
    for number, score in enumerate((0.7, 0.9, 0.8)):
        falling.apply(story.epoch("0", number, score))
    assert (falling.folds["0"].best, falling.folds["0"].best_epoch) == (0.7, 0)


def test_time_left_follows_from_the_pace(progress, story):
    begin(progress, story, "0", "1")
    progress.clock.now = 140.0
    progress.apply(StepFinished("0", "train", 0, 2, 4, 0.5, 800.0))
    progress.clock.now = 170.0
    progress.apply(StepFinished("0", "train", 2, 0, 4, 0.5, 800.0))
    # From half an epoch to two whole ones it took 30 s, 20 s an epoch: one is left here, and three of the fold that waits.
    assert progress.folds["0"].left_s(170.0) == pytest.approx(20.0)
    assert progress.left_s() == pytest.approx(80.0)


def pace(progress, fold: str, epoch_s: float, epochs: int) -> None:
    """A fold that began now has trained so many of its three epochs, each in so many seconds, by the time they take."""
    began = progress.clock.now
    progress.apply(FoldStarted(fold, 16, 20, 0))
    progress.apply(StepFinished(fold, "train", 0, 0, 4, 0.5, 800.0))
    progress.clock.now = began + epochs * epoch_s
    progress.apply(StepFinished(fold, "train", epochs, 0, 4, 0.5, 800.0))


def test_folds_side_by_side_share_what_waits(progress, story):
    progress.apply(story.start(("0", "1", "2", "3", "4")))
    progress.apply(FoldStarted("1", 16, 20, 0))
    progress.apply(StepFinished("1", "train", 0, 0, 4, 0.5, 800.0))
    pace(progress, "0", 10.0, 2)
    progress.apply(StepFinished("1", "train", 1, 0, 4, 0.5, 800.0))
    # Left: 10 s of fold 0, 2 x 20 s of fold 1; 15 s an epoch for the three that wait, 45 s each: the first fold's device is free
    # at 10 s and takes one until 55 s, the other one from 40 s until 85 s, and the first takes the last until 100 s.
    assert progress.left_s() == pytest.approx(100.0)


def test_folds_of_several_experiments_have_their_own_metric_and_pace(progress, story):
    for name in ("exp001/0", "exp002/0", "exp002/1"):
        progress.apply(FoldQueued(name, 3))
    assert [fold.state for fold in progress.folds.values()] == ["waiting"] * 3
    first, second = story.start(("exp001/0",)), story.start(("exp002/0", "exp002/1"))
    progress.apply(replace(first, experiment="exp001"))
    progress.apply(replace(second, experiment="exp002", metric="rmse", greater_is_better=False))
    for number, score in enumerate((0.7, 0.9)):
        progress.apply(story.epoch("exp001/0", number, score))
        progress.apply(story.epoch("exp002/0", number, score, scores={"rmse": score}))
    folds = progress.folds
    assert (folds["exp001/0"].best, folds["exp002/0"].best) == (0.9, 0.7)
    assert [fold.metric for fold in folds.values()] == ["accuracy", "rmse", "rmse"]
    progress.apply(RunFinished(True, {}, 1.0, "exp001"))
    assert [fold.fold for fold in progress.shown] == ["exp002/0", "exp002/1"] and progress.unfinished
    progress.apply(RunFinished(True, {}, 1.0, "exp002"))
    assert not progress.unfinished


def test_a_resumed_fold_is_paced_from_where_it_began(progress, story):
    progress.apply(story.start(("0",)))
    progress.apply(FoldStarted("0", 16, 20, resumed_epoch=1))
    progress.apply(StepFinished("0", "train", 1, 0, 4, 0.5, 800.0))
    progress.clock.now = 110.0
    progress.apply(StepFinished("0", "train", 2, 0, 4, 0.5, 800.0))
    assert progress.folds["0"].left_s(110.0) == pytest.approx(10.0)


def test_before_the_first_steps_nothing_is_claimed(progress, story):
    assert progress.left_s() is None
    begin(progress, story, "0")
    assert progress.left_s() is None


def test_the_last_tick_of_an_epoch_does_not_stop_the_meter(progress, story):
    begin(progress, story, "0")
    progress.apply(StepFinished("0", "train", 0, 3, 4, 0.5, 640.0))
    progress.apply(StepFinished("0", "train", 0, 4, 4, 0.5, 0.0))
    assert progress.folds["0"].samples_per_s == 640.0


def test_folds_that_were_complete_before_stay_so_when_training_starts(progress, story):
    progress.apply(FoldSkipped("0", "complete"))
    progress.apply(story.start(("0", "1")))
    assert [(fold.fold, fold.state, fold.epochs) for fold in progress.folds.values()] == [
        ("0", "complete", 3),
        ("1", "waiting", 3),
    ]


def test_predicting_is_shown_while_it_lasts(progress, story):
    begin(progress, story, "0")
    progress.apply(PredictionProgress("0", "test", 1000, 3500))
    assert (progress.folds["0"].state, progress.folds["0"].predicted) == ("predicting", "test 1,000/3,500")
    progress.apply(PredictionProgress("0", "test", 3500, 3500))
    assert progress.folds["0"].state == "training"


def test_the_store_is_shown_until_it_is_full(progress):
    progress.apply(StoreProgress("train", 3, 10))
    assert (progress.stores["train"].done, progress.stores["train"].total) == (3, 10)
    progress.apply(StoreProgress("train", 10, 10))
    assert not progress.stores


def test_a_fold_without_scores_has_none(progress, story):
    begin(progress, story, "full")
    progress.apply(story.epoch("full", 0, float("nan")))
    progress.apply(story.epoch("full", 1, 0.0, scores={}))
    progress.apply(FoldFinished("full", {}, -1, 3.0))
    assert (progress.folds["full"].score, progress.folds["full"].best, progress.folds["full"].state) == (None, None, "done")
