"""What `check`, `run`, `score` and `predict` pass on and print; the work itself is tested where it is done."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from comp.cli import main
from comp.events import EpochFinished, RunFinished, RunStarted
from comp.run import RunResult

SCORES = {
    "format": 1, "metric": "accuracy", "greater_is_better": True, "pooled": 0.9, "mean": 0.905, "std": 0.01,
    "per_fold": {"0": 0.91, "1": 0.9}, "per_target": {"label": 0.9}, "per_class": {"label": {"cat": 0.5, "dog": 0.95}},
    "undefined": {}, "also": {}, "coverage": {"scored": 10, "units": 12},
}  # fmt: skip


@pytest.fixture
def given(monkeypatch, workspace):
    """What run_several was called with; it tells of one epoch."""
    calls: dict = {}

    def run_several(project, names, devices, **options):
        calls.update(options, names=names, devices=devices, root=project.root)
        emit, name = options["emit"], names[0]
        emit(RunStarted(name, "3f9a1c20", "x", ["0"], 2, 10, 5, "cpu", "32", "accuracy", True))
        emit(EpochFinished("0", "train", 0, 2, 0.4, 0.5, {"accuracy": 0.9}, 1e-3, 1.0, 100.0, True))
        emit(RunFinished(True, SCORES, 2.0, name))
        return {name: RunResult("3f9a1c20", workspace / f"experiments/{name}/runs/3f9a1c20", True, SCORES) for name in names}

    monkeypatch.setattr("comp.scale.several.run_several", run_several)
    return calls


def test_run_passes_everything_on(given, workspace, capsys):
    command = ["run", "exp001", "exp002", "--folds", "4", "--only", "0,2", "--full", "--set", "seed=1", "--set", "a.b=2"]
    command += ["--debug", "--profile", "--gpus", "0, cpu", "--per-gpu", "2", "--max-hours", "8.5"]
    assert main([*command, "--resume", str(workspace)]) == 0
    del given["emit"]
    assert given == {
        "names": ("exp001", "exp002"),
        "devices": ("0", "cpu"),
        "per_gpu": 2,
        "max_hours": 8.5,
        "resume": workspace,
        "train": None,
        "options": [],
        "root": workspace,
        "folds": 4,
        "only": [0, 2],
        "full": True,
        "sets": ("seed=1", "a.b=2"),
        "place": "debug",
        "profile": True,
    }
    out = capsys.readouterr().out
    assert "fold 0  epoch 1/2  loss 0.4  accuracy 0.9000 (best 0.9000)  100 img/s  1.0 s" in out
    assert "comp submit" not in out  # a debug run is nothing to submit


def test_run_ends_with_what_to_do_next(given, capsys):
    assert main(["run", "exp001"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "next: comp submit exp001"
    assert given["only"] is None and given["folds"] is None and given["place"] == "runs"
    assert given["devices"] == () and given["resume"] is None and given["max_hours"] is None


def test_several_experiments_end_with_what_to_do_next_with_each(given, capsys):
    assert main(["run", "exp001", "exp002"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")] == [
        "next: comp submit exp001",
        "next: comp submit exp002",
    ]
    assert main(["run", "exp001", "exp002", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"exp001", "exp002"}


def test_run_as_json_keeps_stdout_clean(given, capsys):
    assert main(["run", "exp001", "--json"]) == 0
    captured = capsys.readouterr()
    assert "fold 0  epoch 1/2" in captured.err
    found = json.loads(captured.out)
    assert found["digest"] == "3f9a1c20" and found["complete"] and found["scores"]["pooled"] == 0.9


REFUSED = [["--folds", "1"], ["--only", "x"], ["--set", "?"], ["--gpus", "a"], ["--max-hours", "0"], ["--resume", "nowhere"]]


@pytest.mark.parametrize("option", REFUSED, ids=" ".join)
def test_run_refuses_what_cannot_be(given, option, capsys):
    assert main(["run", "exp001", *option]) == 2
    assert given == {}


def test_merge_prints_the_scores_and_the_folds(workspace, monkeypatch, capsys):
    def join_folder(project, source, name, emit):
        assert (project.root, source, name) == (workspace, workspace, "exp001")
        folder = workspace / "experiments/exp001/runs/3f9a1c20"
        return [RunResult("3f9a1c20", folder, True, {**SCORES, "folds_done": ["0", "1"]}), RunResult("0", folder, False, None)]

    monkeypatch.setattr("comp.join.join_folder", join_folder)
    assert main(["merge", str(workspace), "exp001"]) == 0
    out = capsys.readouterr().out
    assert "OOF accuracy 0.9000" in out and out.endswith("experiments/exp001/runs/3f9a1c20: folds 0, 1\n")
    assert main(["merge", str(workspace), "exp001", "--json"]) == 0
    assert [result["complete"] for result in json.loads(capsys.readouterr().out)] == [True, False]


def test_check_prints_sections_and_warnings(workspace, monkeypatch, capsys):
    def check_experiment(project, name, sets, read_all):
        assert (name, sets, read_all) == ("exp001", ("seed=1",), True)
        return SimpleNamespace(sections=[("folds", ["5 folds"])], warnings=["3 rare classes"], as_dict=lambda: {"sections": []})

    monkeypatch.setattr("comp.check.check_experiment", check_experiment)
    assert main(["check", "exp001", "--all", "--set", "seed=1"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "folds\n  5 folds\n" and captured.err == "warning: 3 rare classes\n"
    assert main(["check", "exp001", "--all", "--set", "seed=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sections": []}


def test_score_prints_folds_headline_and_worst_classes(workspace, monkeypatch, capsys):
    monkeypatch.setattr("comp.score.score_run", lambda project, reference, metric, emit: {**SCORES, "metric": metric})
    assert main(["score", "exp001@3f9a", "--metric", "macro_f1"]) == 0
    out = capsys.readouterr().out
    assert "OOF macro_f1 0.9000 ± 0.0100   10 of 12 units scored" in out
    assert "worst classes: cat 0.5000, dog 0.9500" in out


def test_predict_passes_everything_on(workspace, monkeypatch, capsys):
    def predict_new(project, reference, test, sample, out, on_bad_image, emit, pictures, gather):
        assert (reference, test, sample, out, on_bad_image) == ("exp001", Path("images"), None, Path("out.csv"), "mean")
        assert (pictures, gather.__name__) == (Path("page.html"), "gather_here")
        return {"rows": 7}

    (workspace / "images").mkdir()
    monkeypatch.setattr("comp.predict.predict_new", predict_new)
    command = ["predict", "exp001", "--test", "images", "--out", "out.csv", "--on-bad-image", "mean", "--pictures", "page.html"]
    assert main(command) == 0
    assert capsys.readouterr().out == "rows: 7\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 7}


def test_an_address_is_for_a_cluster(workspace, capsys):
    (workspace / "images").mkdir()
    assert main(["predict", "exp001", "--test", "images", "--out", "out.csv", "--address", "127.0.0.1:1"]) == 2
    assert "wanted --on ray beside it" in capsys.readouterr().err


def test_predict_wants_a_test_set_that_is_there(workspace, capsys):
    assert main(["predict", "exp001", "--test", "nowhere", "--out", "out.csv"]) == 2
    assert "nowhere" in capsys.readouterr().err
