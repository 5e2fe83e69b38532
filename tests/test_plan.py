"""A run's plan: digest, folder, and what it states about itself."""

from __future__ import annotations

import json
import subprocess

import pandas as pd
import pytest

from comp.api import PluginError, Tables
from comp.events import Notice
from comp.manifest import load_manifest
from comp.plan import count_channels, describe_git, describe_test_set, open_loggers, open_run, plan_run, tell_logger


@pytest.fixture
def plan(tiny):
    return plan_run(tiny.project, load_manifest(tiny.project, "exp001"))


def test_planning_writes_no_run(tiny, plan):
    assert not plan.run.folder.exists() and plan.run.folds == ["0", "1"] and plan.folds.count == 2


def test_the_folder_states_what_the_run_is_made_of(plan):
    opened = open_run(plan)
    state = json.loads((opened.run.folder / "environment.json").read_text())
    assert state["format"] == 1 and state["folds"] == ["0", "1"] and set(state["contents"]) == {"tables", "folds"}
    assert state["libraries"]["torch"] and state["form"]["targets"][0]["classes"] == ["0", "1", "2"]
    folds = pd.read_csv(opened.run.folder / "folds.csv", dtype={"id": str})
    assert len(folds) == 60 and set(folds["fold"]) == {0, 1} and folds["id"].str.len().eq(4).all()
    assert (opened.run.folder / "manifest.resolved.yaml").read_text().startswith("format: 1")


def test_opened_again_it_keeps_its_age(plan):
    assert open_run(plan).run.made_at == open_run(plan).run.made_at


@pytest.mark.parametrize(("left", "wanted"), [(".lock", 3), ("last.ckpt", 1), ("seed0/last.ckpt", 1)])
def test_a_corrected_fact_counts_until_a_fold_has_begun(tiny, plan, left, wanted):
    folder = open_run(plan).run.folder
    file = folder / "fold1" / left
    file.parent.mkdir(parents=True)
    file.write_text("")
    tiny.edit("competition.yaml", "channels: 1", "channels: 3")
    again = plan_run(tiny.project, load_manifest(tiny.project, "exp001"))
    assert again.run.folder == folder and open_run(again).run.state["form"]["channels"] == wanted
    assert json.loads((folder / "environment.json").read_text())["form"]["channels"] == wanted
    assert f"channels: {wanted}" in (folder / "manifest.resolved.yaml").read_text()


def test_debug_begins_anew(tiny):
    plan = plan_run(tiny.project, load_manifest(tiny.project, "exp001"), "debug")
    first = open_run(plan)
    (first.run.folder / "left").write_text("")
    assert open_run(plan).run.folder == first.run.folder and not (first.run.folder / "left").exists()


def test_the_digest_does_not_depend_on_where_the_workspace_lies(tiny, tiny_run, plan):
    other = plan_run(tiny_run.project, load_manifest(tiny_run.project, "exp001"))
    assert other.project.root != plan.project.root and other.run.digest == plan.run.digest


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [(100, None, "no test set yet"), (100, 0, "is empty"), (100, 3, "may be a stub"), (100, 5, ""), (30, 3, ""), (5000, 11, "")],
)
def test_what_is_to_be_known_of_the_test_set(tmp_path, train, test, said):
    rows = pd.DataFrame({"row_id": ["a"]})
    tables = Tables(rows.loc[[0] * train], None if test is None else rows.loc[[0] * test], None, "id", ("label",), (), tmp_path)
    found = describe_test_set(tables)
    assert said in found and bool(found) == bool(said)


def test_channels_are_counted_where_no_fact_says_them(tiny):
    tiny.edit("competition.yaml", "channels: 1, ", "")
    plan = plan_run(tiny.project, load_manifest(tiny.project, "exp001"))
    assert count_channels(plan.manifest, plan.competition.tables) == 1


def test_git_says_commit_and_dirtiness(tmp_path):
    assert describe_git(tmp_path) is None
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    state = describe_git(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "new").write_text("")
    assert describe_git(tmp_path)["dirty"] is True


def test_a_logger_that_fails_is_said_and_left_out(plan):
    told: list[Notice] = []

    def broken(record):
        raise OSError("disk full")

    assert not tell_logger(broken, {"event": "Notice"}, told.append)
    assert "disk full" in told[0].text and told[0].level == "warning"


def test_a_logger_that_cannot_start_is_said_and_left_out(plan, monkeypatch):
    told: list[Notice] = []

    def build(self, kind, spec, **offers):
        raise PluginError("not installed")

    monkeypatch.setattr("comp.catalog.Catalog.build", build)
    assert open_loggers(plan, told.append) == [] and "not installed" in told[0].text
