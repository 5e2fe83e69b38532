"""`comp merge`: folds that were trained elsewhere join a run here, which is scored anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """The run's folder as a team mate packed it, under a name of theirs."""
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    shutil.copytree(run, tmp_path / "theirs/run of bob")
    return tmp_path / "theirs"


def keep_only(run: Path, fold: str) -> None:
    """Only this fold is left of a run."""
    shutil.rmtree(run / f"fold{1 - int(fold)}")
    for name in ("scores.json", "oof.parquet", "test.parquet", "report.html"):
        (run / name).unlink(missing_ok=True)


def test_the_folds_of_two_machines_make_a_whole_run(tiny_run, copy):
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    whole = json.loads((run / "scores.json").read_text())
    keep_only(run, "0")
    keep_only(copy / "run of bob", "1")
    said = tiny_run.comp("merge", copy, "exp001")
    assert said.code == 0 and "fold 1 is taken over" in said.out
    assert f"{run.relative_to(tiny_run.root)}: folds 0, 1" in said.out
    merged = json.loads((run / "scores.json").read_text())
    assert (merged["pooled"], merged["complete"], merged["per_fold"]) == (whole["pooled"], True, whole["per_fold"])
    assert (run / "report.html").exists() and (run / "test.parquet").exists()
    assert "complete already" in tiny_run.comp("run", "exp001").out


def test_a_workspace_where_it_never_ran_gets_the_run(tiny, copy):
    said = tiny.comp("merge", copy, "--json")
    assert said.code == 0, said.err  # scores.json says which experiment it is of
    (result,) = said.json
    assert result["complete"] and result["scores"]["experiment"] == "exp001"
    assert sorted(path.name for path in Path(result["folder"]).glob("fold*/")) == ["fold0", "fold1"]


def test_it_is_scored_by_todays_wishes(tiny_run, copy):
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    keep_only(run, "0")
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]\nalso: [{use: macro_f1}]")
    assert tiny_run.comp("merge", copy, "exp001").code == 0
    scores = json.loads((run / "scores.json").read_text())
    assert scores["complete"] and "macro_f1" in scores["also"] and scores["tta"] == [{"use": "hflip"}]


def test_a_copy_that_does_not_say_what_it_is_of_wants_a_name(tiny, copy):
    (copy / "run of bob/scores.json").unlink()
    said = tiny.comp("merge", copy)
    assert said.code == 2 and f"name it: `comp merge {copy / 'run of bob'} NAME`" in said.err
    assert tiny.comp("merge", copy, "exp001").code == 0


def test_what_differs_is_said_and_nothing_is_made(tiny, copy):
    tiny.write("exp002", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + "seed: 7\n")
    said = tiny.comp("merge", copy, "exp002")
    assert said.code == 2 and "seed was 42 and is 7" in said.err
    assert not (tiny.root / "experiments/exp002/runs").exists()


def test_of_several_runs_those_of_nobody_are_said(tiny_run, copy):
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    keep_only(run, "0")
    other = copy / "another"
    shutil.copytree(copy / "run of bob", other)
    file = other / "manifest.resolved.yaml"
    file.write_text(file.read_text().replace("seed: 42", "seed: 9"))
    said = tiny_run.comp("merge", copy, "exp001")
    assert said.code == 0 and "seed was 9 and is 42" in said.out
    assert json.loads((run / "scores.json").read_text())["complete"]
