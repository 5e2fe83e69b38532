from __future__ import annotations

import json

from comp.cli import main


def test_init_says_what_it_concluded_and_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "digits"]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "digits/competition.yaml").exists()
    assert "task.classes" in out and "counted" in out and "cd digits && comp new exp001" in out


def test_init_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(tmp_path / "competition.yaml")
    assert {"dataset.use": "digits", "task.kind": "multiclass"}.items() <= {
        row["key"]: row["value"] for row in found["conclusions"]
    }.items()


def test_init_twice_is_refused(workspace, capsys):
    before = (workspace / "competition.yaml").read_text()
    assert main(["init"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (workspace / "competition.yaml").read_text() == before


def test_new_without_a_name_takes_the_next(workspace, capsys):
    assert main(["new"]) == main(["new"]) == 0
    assert "experiments/exp001/manifest.yaml" in capsys.readouterr().out
    assert (workspace / "experiments/exp002/manifest.yaml").exists()


def test_new_refuses_a_bad_name(workspace, capsys):
    assert main(["new", "../evil"]) == 2
    assert "cannot name an experiment" in capsys.readouterr().err
    assert not (workspace / "experiments").exists() or not list((workspace / "experiments").iterdir())


def test_show_says_where_each_value_comes_from(workspace, capsys):
    main(["new", "exp001", "--set", "train.epochs=3"])
    capsys.readouterr()
    assert main(["show", "exp001", "--set", "seed=7"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:]}
    assert lines["seed"][:2] == ["7", "--set"]
    assert lines["train.epochs"][0] == "3" and lines["train.epochs"][1].startswith("experiments/exp001/manifest.yaml:")
    assert lines["metric.use"] == ["accuracy", "competition.yaml:5"]
    assert lines["train.accumulate"][1] == "default"


def test_show_as_json(workspace, capsys):
    main(["new", "exp001"])
    capsys.readouterr()
    assert main(["show", "exp001", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["metric"]["use"] == "accuracy"
    assert found["origins"]["metric.use"] == "competition.yaml:5"
