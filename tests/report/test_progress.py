from __future__ import annotations

import pytest

from comp.events import FoldFinished, FoldSkipped, FoldStarted, PredictionProgress, StageStarted, StepFinished, StoreProgress
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
    assert progress.finished.scores["pooled"] == 0.86

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
    assert (progress.store.done, progress.store.total) == (3, 10)
    progress.apply(StoreProgress("train", 10, 10))
    assert progress.store is None


def test_a_fold_without_scores_has_none(progress, story):
    begin(progress, story, "full")
    progress.apply(story.epoch("full", 0, float("nan")))
    progress.apply(story.epoch("full", 1, 0.0, scores={}))
    progress.apply(FoldFinished("full", {}, -1, 3.0))
    assert (progress.folds["full"].score, progress.folds["full"].best, progress.folds["full"].state) == (None, None, "done")
