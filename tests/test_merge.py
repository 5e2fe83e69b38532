"""Merging a run's folds into the files that people read."""

from __future__ import annotations

import json

import pytest

from comp.errors import PredictionsError
from comp.finished import plan_finished
from comp.merge import average_test, demand_tests, describe_seeds, describe_selection, merge_run, stored_views
from comp.predictions import read_predictions, read_raw
from comp.report.tables import coverage_line


def plan_of(tiny, partial=False):
    return plan_finished(tiny.project, "exp001", tiny.events.append, partial)


def test_scores_say_what_they_are_of(tiny_run):
    plan = plan_of(tiny_run)
    record = merge_run(plan)
    assert record == json.loads((plan.run.folder / "scores.json").read_text())
    assert record["folds"] == record["folds_done"] == ["0", "1"] and record["complete"] and record["experiment"] == "exp001"
    assert record["coverage"] == {"scored": 60, "units": 60} and record["tta"] == []
    oof = read_predictions(plan.run.folder / "oof.parquet")
    answers = dict(line.split(",") for line in (tiny_run.data / "train.csv").read_text().split()[1:])
    right = [oof.columns[values.argmax()] == answers[name] for name, values in zip(oof.ids, oof.values)]
    assert record["pooled"] == sum(right) / 60
    per_fold = [sum(ok for ok, fold in zip(right, oof.fold) if fold == number) / 30 for number in (0, 1)]
    assert list(record["per_fold"].values()) == per_fold
    assert record["elapsed_s"] == pytest.approx(
        sum(json.loads((plan.run.folder / f"fold{fold}/fold.json").read_text())["elapsed_s"] for fold in (0, 1)), abs=2e-3
    )


def test_repeats_are_averaged_and_counted(tiny):
    tiny.edit("competition.yaml", "folds: 2,", "folds: 2, repeats: 2,")
    tiny.run(only=[0, 1, 2])
    plan = plan_of(tiny, partial=True)
    assert plan.folds.repeats == 2 and plan.run.folds == ["0", "1", "2", "3"]
    record = json.loads((plan.run.folder / "scores.json").read_text())
    assert record["coverage"] == {"scored": 60, "units": 60, "times": [1, 2]} and not record["complete"]
    assert coverage_line(record) == "60 of 60 units scored, each held out 1 to 2 times"
    tiny.run()
    record = merge_run(plan_of(tiny))
    assert record["complete"] and coverage_line(record) == "60 of 60 units scored, each held out 2 times"
    assert list(record["per_fold"]) == ["0", "1"]
    oof, fold2 = (read_predictions(plan.run.folder / "oof.parquet"), read_raw(plan.run.folder / "fold2/oof.parquet"))
    assert len(set(oof.ids)) == len(oof.ids) == 60 and set(oof.fold) == {0, 1} and len(fold2.ids) == 30


def test_without_write_nothing_is_touched(tiny_run):
    plan = plan_of(tiny_run)
    before = {path: path.stat().st_mtime_ns for path in plan.run.folder.glob("*.*")}
    merge_run(plan.with_values(metric={"use": "log_loss"}), write=False)
    assert {path: path.stat().st_mtime_ns for path in plan.run.folder.glob("*.*")} == before


def test_a_part_of_the_folds_is_marked(tiny):
    tiny.run(only=[1])
    record = merge_run(plan_of(tiny, partial=True))
    assert record["folds_done"] == ["1"] and not record["complete"] and record["coverage"]["scored"] == 30


def test_no_fold_no_scores(tiny_run):
    plan = plan_of(tiny_run)
    for fold in ("fold0", "fold1"):
        (plan.run.folder / fold / "fold.json").unlink()
    assert merge_run(plan) is None


def test_a_view_that_is_not_there_counts_for_nothing(tiny_run):
    plan = plan_of(tiny_run)
    assert stored_views(plan, "0", "oof.parquet") == ["plain"] and stored_views(plan, "9", "oof.parquet") == []


def test_test_predictions_that_some_folds_lack_are_named(tiny_run):
    plan = plan_of(tiny_run)
    (plan.run.folder / "fold1/test.parquet").unlink()
    assert average_test(plan, ["0", "1"]) is None
    with pytest.raises(PredictionsError, match="no test predictions in folds 1 of exp001@.*comp predict exp001"):
        demand_tests(plan, ["0", "1"])


def test_selection_says_what_choosing_an_epoch_is_worth():
    folds = [
        {"select": "best", "scores_best": {"accuracy": 0.9}, "scores_last": {"accuracy": 0.8}},
        {"select": "best", "scores_best": {"accuracy": 0.7}, "scores_last": {"accuracy": 0.7}},
        {"select": "best", "scores_best": {}, "scores_last": {}},
    ]
    assert describe_selection(folds) == {
        "select": "best", "best": pytest.approx(0.8), "last": pytest.approx(0.75), "gap": pytest.approx(0.05),
    }  # fmt: skip
    assert describe_selection([{}]) == {}


def test_a_seed_without_a_score_is_left_out_of_the_noise():
    assert describe_seeds({"3": 0.5, "0": None, "1": 0.7}) == {
        "scores": {"3": 0.5, "0": None, "1": 0.7}, "std": pytest.approx(0.02**0.5),
    }  # fmt: skip
    assert describe_seeds({"3": 0.5, "0": None})["std"] == 0.0
    assert describe_seeds({"3": None})["std"] is None
