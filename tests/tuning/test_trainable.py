"""A trial as its process sees it, here in this one; what it reports goes to a list instead of Ray."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from comp.errors import RunInterrupted
from comp.events import EpochFinished, FoldFinished, FoldStarted, Notice
from comp.runs import read_fold
from comp.search import Parameter
from comp.trials import Search, TrialRecord, claim_trial, write_trial
from comp.tuning.trainable import Answered, Course, TrialFailed, TrialOrder, repeat, to_drawn, to_point, train_trial, watch

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 3, batch_size: 16, workers: 0, threads: 1}
search: {optimizer.lr: {loguniform: [1.0e-4, 1.0e-1]}}
"""

PARAMETERS = (
    Parameter("lr", "loguniform", low=1e-4, high=1.0),
    Parameter("loss", "choice", options=2),
    Parameter("loss.0.gamma", "uniform", low=1.0, high=2.0, step=0.25, condition=("loss", 0)),
    Parameter("epochs", "int", low=3, high=9, step=3),
    Parameter("width", "int", low=4, high=6),
)


def epoch(number: int, score: float, fold: str = "0", of: int = 3) -> EpochFinished:
    return EpochFinished(fold, "train", number, of, 1.0, 1.0, {"accuracy": score}, 0.1, 1.0, 10.0, False)


def order_of(tiny, only: tuple[int, ...] = (0,)) -> TrialOrder:
    tiny.write("exp001", MANIFEST)
    folder = tiny.root / "experiments/exp001/search/0a1b2c3d"
    folder.mkdir(parents=True, exist_ok=True)
    return TrialOrder(str(tiny.root), "exp001", (), only, str(folder), str(folder / "stop"))


# ---- points --------------------------------------------------------------------------------------------------------------


def test_a_range_with_steps_is_drawn_as_the_number_of_the_step():
    drawn = {"lr": 0.01, "loss": 0, "loss.0.gamma": 1.75, "epochs": 9, "width": 5}
    point = to_point(PARAMETERS, drawn)
    assert point == {"lr": 0.01, "loss": 0, "loss.0.gamma": 3, "epochs": 2, "width": 5}
    assert to_drawn(PARAMETERS, point) == drawn


def test_what_a_combination_leaves_out_has_its_least_value():
    assert to_point(PARAMETERS, {"lr": 0.01, "loss": 1, "epochs": 3, "width": 4})["loss.0.gamma"] == 0


# ---- the course of a trial -----------------------------------------------------------------------------------------------


def test_with_several_folds_it_is_the_running_mean(monkeypatch):
    monkeypatch.setattr("comp.tuning.trainable.score_fold", lambda plan, fold: {"0": 0.6, "1": 0.8}[fold])
    told = []
    course = Course(lambda epochs, score: told.append((epochs, score)), ["0", "1"])
    for event in (
        *(FoldStarted("0", 40, 20), epoch(0, 0.2), epoch(1, 0.4), epoch(2, 0.5), FoldFinished("0", {"accuracy": 0.6}, 2, 1.0)),
        *(FoldStarted("1", 40, 20), epoch(0, 0.2, "1"), epoch(1, 0.4, "1"), epoch(2, 0.5, "1")),
    ):
        course(event)
    assert dict(told) == pytest.approx({1: 0.2, 2: 0.4, 3: 0.6, 4: 0.4, 5: 0.5})
    course(FoldFinished("1", {"accuracy": 0.8}, 2, 1.0))
    # Its last word is not an epoch's: too late to prune.
    assert len(told) == 5 and course.epochs == 6 and course.demand_score() == pytest.approx(0.7)


def test_it_counts_on_from_where_a_fold_resumes():
    told = []
    course = Course(lambda epochs, score: told.append((epochs, score)), ["0"])
    for event in (FoldStarted("0", 40, 20, resumed_epoch=4), epoch(4, 0.5, of=8)):
        course(event)
    assert told == [(5, 0.5)]


def test_seeds_that_an_earlier_call_completed_are_counted(tmp_path):
    told = []
    course = Course(lambda epochs, score: told.append((epochs, score)), ["0", "1"], tmp_path)
    for seed, epochs in ((0, 3), (1, 2)):
        folder = tmp_path / f"fold0/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "fold.json").write_text(json.dumps({"format": 1, "epochs": epochs}))
    (tmp_path / "fold0/seed2").mkdir()
    course(FoldStarted("0", 40, 20, resumed_epoch=1))
    course(epoch(1, 0.4))
    (tmp_path / "fold0/seed2/fold.json").write_text(json.dumps({"format": 1, "epochs": 3}))
    for event in (epoch(2, 0.5), FoldStarted("0", 40, 20), epoch(0, 0.6), FoldStarted("1", 40, 20), epoch(0, 0.2, "1")):
        course(event)
    assert told == [(3 + 2 + 2, 0.4), (3 + 2 + 3 + 1, 0.6), (3 + 2 + 3 + 1 + 1, 0.2)]


def test_warnings_are_kept_for_the_next_report():
    course = Course(lambda *point: None, ["0"])
    for event in (Notice("1 image is left out", "warning"), Notice("fold 0: seed 1"), Notice("logger x failed", "warning")):
        course(event)
    assert course.take_warnings() == ["1 image is left out", "logger x failed"] and course.take_warnings() == []


def test_a_score_that_is_no_number_is_not_reported_and_fails_at_the_end(monkeypatch):
    monkeypatch.setattr("comp.tuning.trainable.score_fold", lambda plan, fold: math.nan)
    told = []
    course = Course(lambda *point: told.append(point), ["0"])
    for event in (FoldStarted("0", 40, 20), epoch(0, math.nan), FoldFinished("0", {"accuracy": math.nan}, 0, 1.0)):
        course(event)
    assert not told
    with pytest.raises(TrialFailed, match="no value on the held-out rows of fold 0"):
        course.demand_score()


# ---- trials --------------------------------------------------------------------------------------------------------------


def test_a_trial_trains_its_folds_and_a_second_has_them_at_once(tiny):
    order, told = order_of(tiny, only=(0, 1)), []
    course = Course(lambda *point: told.append(point))
    train_trial({"optimizer.lr": 0.02}, order, course)
    [run] = (tiny.root / "experiments/exp001/trials").iterdir()
    assert course.epochs == 6 and [epochs for epochs, _ in told] == [1, 2, 3, 4, 5]
    assert not (run / "test.parquet").exists()
    again = Course(lambda *point: told.append(point))
    train_trial({"optimizer.lr": 0.02}, order, again)
    assert (again.epochs, again.finished) == (6, course.finished)
    assert again.elapsed_s == 0.0 < course.elapsed_s


@pytest.mark.parametrize("seeds", ["", "seeds: [1, 2]\n"], ids=["one", "seeds"])
def test_a_fold_that_is_there_is_scored_by_the_metric_of_today(tiny, seeds):
    order = order_of(tiny, (0, 1))
    tiny.write("exp001", MANIFEST + "loss: {use: cross_entropy, smoothing: 0}\n" + seeds)

    def train() -> dict[str, float]:
        course = Course(lambda *point: None)
        train_trial({"optimizer.lr": 0.02}, order, course)
        return course.finished

    first = train()
    [run] = (tiny.root / "experiments/exp001/trials").iterdir()
    by_itself = {fold: read_fold(run / f"fold{fold}")["scores"]["accuracy"] for fold in "01"}
    assert first == pytest.approx(by_itself)
    tiny.edit("competition.yaml", "metric: {use: accuracy}", "metric: {use: log_loss}")
    second = train()
    assert len(list(run.parent.iterdir())) == 1, "another metric trains nothing anew"
    # The same folds, trained where that metric decided from the beginning.
    shutil.rmtree(run)
    third = train()
    assert "log_loss" in read_fold(run / "fold0")["scores"]
    assert second == pytest.approx(third) and second != pytest.approx(first)


def test_values_that_were_tried_are_answered_without_training(tiny):
    order = order_of(tiny)
    course = Course(lambda *point: None)
    train_trial({"optimizer.lr": 0.02}, order, course)
    [run] = (tiny.root / "experiments/exp001/trials").iterdir()
    search = Search("exp001", "0a1b2c3d", Path(order.folder), {})
    record = claim_trial(search, {"optimizer.lr": 0.02}, {"optimizer.lr": 0.02}, run.name)
    train_trial({"optimizer.lr": 0.02}, order, course)  # it has not ended: nothing is known of it
    pruned = TrialRecord(record.trial, record.drawn, record.values, run.name, "pruned", 0.4, {}, [(1, 0.3), (2, 0.4)], 2)
    write_trial(search.folder, pruned)
    with pytest.raises(Answered) as caught:
        train_trial({"optimizer.lr": 0.02}, order, course)
    assert caught.value.record == pruned
    told = []
    repeat(pruned, lambda *point, **more: told.append((*point, more.get("ended"))))
    assert told == [(2, 0.4, "pruned")]  # at once: on its way it would be judged again


def test_a_failed_twin_fails_for_the_same_reason():
    with pytest.raises(TrialFailed, match="the training loss is nan"):
        repeat(TrialRecord("t0001", {}, {}, state="failed", why="the training loss is nan"), lambda *point, **more: None)


def test_a_trial_that_is_told_to_end_saves_and_goes_on_later(tiny, monkeypatch):
    monkeypatch.setattr("comp.tuning.trainable.LOOK_EVERY_S", 0.0)
    order, told = order_of(tiny), []

    def report(epochs: int, score: float) -> None:
        told.append((epochs, score))
        Path(order.stop_file).touch()

    with pytest.raises(RunInterrupted):
        train_trial({"optimizer.lr": 0.02}, order, Course(report))
    Path(order.stop_file).unlink()
    rest = []
    course = Course(lambda *point: rest.append(point))
    train_trial({"optimizer.lr": 0.02}, order, course)
    assert [epochs for epochs, _ in told] == [1] and [epochs for epochs, _ in rest] == [2] and course.epochs == 3
    whole = []
    tiny.write("exp002", MANIFEST)
    unbroken = Course(lambda *point: whole.append(point))
    train_trial({"optimizer.lr": 0.02}, TrialOrder(str(tiny.root), "exp002", (), (0,), order.folder, order.stop_file), unbroken)
    assert [*told, *rest] == whole and unbroken.finished == course.finished


def test_the_stop_file_is_looked_at_now_and_then(tmp_path):
    stop = watch(tmp_path / "stop")
    assert not stop()
    (tmp_path / "stop").touch()
    assert not stop(), "it had just looked"
