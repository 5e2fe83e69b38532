from __future__ import annotations

import pytest

from comp.events import SearchFinished, TrialFinished, TrialReported, TrialStarted
from comp.report.trials import SearchProgress, format_value, search_lines, short_names


def apply(progress: SearchProgress, events) -> SearchProgress:
    for event in events:
        progress.apply(event)
    return progress


def test_the_best_was_trained_to_its_end(searched):
    progress = apply(SearchProgress(), [searched.start(4)])
    for number, (state, score) in enumerate([("done", 0.8), ("pruned", 0.95), ("failed", None), ("done", 0.7)], 1):
        apply(progress, [TrialStarted(f"t{number}", {}, "d"), TrialFinished(f"t{number}", state, score, 3, 1.0)])
    assert progress.best().trial == "t1"
    assert [trial.trial for trial in progress.ranked()] == ["t1", "t4", "t2", "t3"]


def test_where_less_is_better_the_least_is_best_and_of_equals_the_first(searched):
    progress = apply(SearchProgress(), [searched.start(3, greater_is_better=False)])
    for name, score in (("t1", 0.5), ("t2", 0.25), ("t3", 0.25)):
        apply(progress, [TrialFinished(name, "done", score, 3, 1.0)])
    assert progress.best().trial == "t2"


def test_time_left_is_that_of_the_epochs_still_to_train(searched):
    now = [0.0]
    progress = apply(SearchProgress(clock=lambda: now[0]), [searched.start(4)])
    apply(progress, [TrialStarted("t1", {}, "d"), TrialReported("t1", 1, 0.5)])
    assert progress.left_s() is None
    now[0] = 10.0
    apply(progress, [TrialReported("t1", 2, 0.6)])
    # Ten seconds an epoch; one epoch of this trial and three of each of the other three.
    assert progress.left_s() == pytest.approx(100.0)
    apply(progress, [TrialFinished("t1", "pruned", 0.6, 2, 20.0)])
    assert progress.left_s() == pytest.approx(60.0)  # trials have two epochs now, as far as is known


def test_earlier_trials_cost_this_process_nothing(searched):
    now = [0.0]
    progress = apply(SearchProgress(clock=lambda: now[0]), [searched.start(3)])
    apply(progress, [TrialStarted("t1", {}, "d"), TrialFinished("t1", "done", 0.5, 3, 300.0)])
    apply(progress, [TrialStarted("t2", {}, "d"), TrialReported("t2", 1, 0.5)])
    now[0] = 5.0
    apply(progress, [TrialReported("t2", 2, 0.5)])
    assert progress.left_s() == pytest.approx(5.0 * (1 + 3))


def test_the_end_says_both_scores_and_why_trials_failed(searched):
    lines = search_lines(apply(SearchProgress(), searched.tell(12, confirmed=0.85)))
    assert lines[0].split() == ["trial", "state", "trained", "accuracy", "time", "lr", "loss", "epochs"]
    assert lines[2].split()[:4] == ["t0002", "done", "3", "0.9000"]
    assert "2 failed: not enough memory" in lines
    assert "best t0002  accuracy 0.9000 on fold 0, which chose it: optimistic" in lines
    assert "confirmed  accuracy 0.8500 on folds that had no part in the choice" in lines
    assert lines[-1] == "12 trials: 6 done, 4 pruned, 2 failed  complete  1:01"


def test_the_end_fits_a_terminal_and_is_whole_elsewhere(searched):
    progress = apply(SearchProgress(), searched.tell(12))
    assert max(map(len, search_lines(progress, 70)[:10])) <= 70 < max(map(len, search_lines(progress)[:10]))


def test_a_search_without_a_score_says_so(searched):
    progress = apply(SearchProgress(), [searched.start(1), TrialFinished("t1", "failed", None, 0, 1.0, "NaN")])
    lines = search_lines(apply(progress, [SearchFinished(False, "", None, None, 3.0)]))
    assert "no trial has a score" in lines and lines[-1] == "1 trials: 1 failed  not complete yet  3.0 s"


def test_names_are_as_short_as_they_can_be():
    names = short_names(["optimizer.lr", "loss", "stages.1.optimizer.lr", "train.epochs"])
    assert names["loss"] == "loss" and names["train.epochs"] == "epochs"
    assert names["optimizer.lr"] == "optimizer.lr" and names["stages.1.optimizer.lr"] == "1.optimizer.lr"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00031234567, "0.0003123"), ({"use": "focal", "gamma": 1.5}, "focal gamma=1.5"), ([{"use": "light"}], "[light]"),
     (None, "null"), (True, "true"), (12, "12"), ("mean", "mean")],
)  # fmt: skip
def test_values_in_a_cell(value, text):
    assert format_value(value) == text
