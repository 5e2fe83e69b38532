"""A finished run, opened again with today's wishes."""

from __future__ import annotations

import json
import shutil

import pytest

from comp.errors import WorkspaceError
from comp.finished import plan_finished, plan_restored


def told(tiny) -> str:
    return "\n".join(event.text for event in tiny.names("Notice"))


def test_unchanged_it_says_nothing(tiny_run):
    plan = plan_finished(tiny_run.project, "exp001", tiny_run.events.append)
    assert told(tiny_run) == "" and plan.folds.count == 2 and len(plan.folds.table) == 60


def test_keys_that_moved_on_are_named_and_the_runs_own_count(tiny_run):
    tiny_run.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 5")
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]\nmetric: {use: log_loss}")
    plan = plan_finished(tiny_run.project, "exp001", tiny_run.events.append)
    text = told(tiny_run)
    assert f"run {plan.run.digest} is not what the manifest of exp001 says now: train.epochs was 1 and is 5" in text
    values = plan.manifest.values
    assert values["train"]["epochs"] == 1 and values["tta"] == [{"use": "hflip"}] and values["metric"]["use"] == "log_loss"


def test_a_metric_that_chose_an_epoch_stays_the_runs(tiny):
    tiny.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 1, select: best")
    tiny.run()
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nmetric: {use: log_loss}")
    plan = plan_finished(tiny.project, "exp001", tiny.events.append)
    assert plan.manifest.values["metric"]["use"] == "accuracy"


def test_a_manifest_with_faults_is_said_and_the_runs_own_is_taken(tiny_run):
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: [}")
    plan = plan_finished(tiny_run.project, "exp001", tiny_run.events.append)
    assert "has faults now" in told(tiny_run) and plan.manifest.values["train"]["epochs"] == 1


def test_tables_that_changed_are_said(tiny_run):
    with open(tiny_run.data / "train.csv", "a") as file:
        file.write("8888,1\n")
    shutil.copy(next((tiny_run.data / "train").iterdir()), tiny_run.data / "train/8888.png")
    plan_finished(tiny_run.project, "exp001", tiny_run.events.append)
    assert "the training tables have changed since run" in told(tiny_run)


def test_restored_without_any_table_it_knows_the_task(tiny_run):
    with_tables = plan_finished(tiny_run.project, "exp001", tiny_run.events.append)
    shutil.rmtree(tiny_run.data)
    plan = plan_restored(tiny_run.project, "exp001", tiny_run.events.append)
    assert plan.competition.task == with_tables.competition.task and plan.competition.tables.id_column == "name"
    form = json.loads((plan.run.folder / "environment.json").read_text())["form"]
    assert form["channels"] == 1 and form["ids_have_endings"] is False


def test_what_is_not_there_is_refused(tiny):
    with pytest.raises(WorkspaceError, match="no runs at all"):
        plan_finished(tiny.project, "exp001", tiny.events.append)
