from __future__ import annotations

import json

import pytest

from comp.cli import main
from comp.ledger import Entry, append_entry
from comp.project import Project
from comp.submit import SubmitResult


@pytest.fixture
def given(monkeypatch, workspace):
    calls: dict = {}

    def submit_experiment(project, reference, **options):
        calls.update(options, reference=reference)
        path = workspace / "submissions/exp001/v003.csv"
        return SubmitResult("v003", path, calls.get("equals"), "accuracy", 0.9312, 0.0041, {"public": 0.91}, [], "3f9a1c20")

    monkeypatch.setattr("comp.submit.submit_experiment", submit_experiment)
    return calls


def test_submit_passes_everything_on(given, capsys):
    assert main(["submit", "exp001@3f9a", "-m", "focal, 384px", "--tta", "hflip", "--tta", "vflip", "--full", "--partial"]) == 0
    del given["emit"]
    assert given == {
        "reference": "exp001@3f9a",
        "message": "focal, 384px",
        "tta": ["hflip", "vflip"],
        "full": True,
        "partial": True,
    }
    assert capsys.readouterr().out.splitlines() == [
        "wrote submissions/exp001/v003.csv (run 3f9a1c20)",
        "CV accuracy 0.9312 ± 0.0041",
        "local leaderboard: public 0.9100",
    ]


def test_tta_is_the_manifests_unless_said_otherwise(given):
    main(["submit", "exp001"])
    assert given["tta"] is None
    main(["submit", "exp001", "--tta", "none"])
    assert given["tta"] == []


def test_the_same_content_twice_says_so(given, capsys):
    given["equals"] = "v002"
    assert main(["submit", "exp001"]) == 0
    assert "this content already: v002; nothing was written" in capsys.readouterr().out


def test_submit_as_json(given, capsys):
    assert main(["submit", "exp001", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == "v003" and found["local"] == {"public": 0.91}


@pytest.fixture
def ledger(workspace):
    for version in ("v001", "v002"):
        append_entry(
            Project(workspace),
            Entry("2026-01-01", "exp001", version, "3f9a1c20", 0.9, 0.01, "accuracy", sha256="ab", message=f"idea {version}"),
        )


def test_a_score_is_recorded_and_listed(ledger, capsys):
    assert main(["ledger", "exp001", "v002", "--public", "0.91", "--private", "0.89"]) == 0
    capsys.readouterr()
    assert main(["ledger"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "0.9100   0.8900" in lines[3] and "idea v001" in lines[2] and "0.9100" not in lines[2]
    assert main(["ledger", "--json"]) == 0
    assert [entry["public"] for entry in json.loads(capsys.readouterr().out)] == [None, 0.91]


@pytest.mark.parametrize("args", [["exp001"], ["exp001", "v001"], ["--public", "0.9"]], ids=" ".join)
def test_half_a_record_is_refused_with_what_is_missing(ledger, args, capsys):
    assert main(["ledger", *args]) == 2
    assert "?" in capsys.readouterr().err


def test_a_submission_that_is_not_there_is_refused(ledger, capsys):
    assert main(["ledger", "exp001", "v003", "--public", "0.9"]) == 2
    assert "v001, v002" in capsys.readouterr().err


def test_an_empty_ledger_says_how_to_fill_it(workspace, capsys):
    assert main(["ledger"]) == 0
    assert "comp submit" in capsys.readouterr().out


def test_board_lists_experiments_without_runs(workspace, capsys):
    main(["new", "exp001"])
    capsys.readouterr()
    assert main(["board"]) == 0
    assert "no run" in capsys.readouterr().out
    assert main(["board", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["experiment"], row["cv"], row["marks"]) == ("exp001", None, ["no run"])
