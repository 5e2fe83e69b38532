from __future__ import annotations

from comp.cli import main
from comp.errors import Fault, ManifestError, RunError, RunInterrupted


def fail_with(monkeypatch, error):
    def run_experiment(project, name, **given):
        raise error

    monkeypatch.setattr("comp.scale.several.run_experiment", run_experiment)


def test_a_failed_run_is_1(workspace, monkeypatch, capsys):
    fail_with(monkeypatch, RunError("fold 0: the loss is nan."))
    assert main(["run", "exp001"]) == 1
    assert capsys.readouterr().err == "fold 0: the loss is nan.\n"


def test_an_interrupted_run_is_130_and_says_how_to_go_on(workspace, monkeypatch, capsys):
    fail_with(monkeypatch, RunInterrupted("interrupted; everything is saved: `comp run exp001` goes on."))
    assert main(["run", "exp001"]) == 130
    assert "goes on" in capsys.readouterr().err


def test_faults_of_a_manifest_are_2_and_all_shown(workspace, monkeypatch, capsys):
    fail_with(monkeypatch, ManifestError([Fault("m.yaml", 3, "loss.gama", "unknown"), Fault("m.yaml", 5, "seed", "wanted int")]))
    assert main(["run", "exp001"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "m.yaml:3  loss.gama: unknown",
        "m.yaml:5  seed: wanted int",
        "2 faults; nothing was run.",
    ]


def test_an_error_of_comp_is_one_line_and_a_log(workspace, monkeypatch, capsys):
    fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert main(["run", "exp001", "--full"]) == 1
    err = capsys.readouterr().err
    [log] = (workspace / ".comp").glob("crash-*.log")
    assert err.count("\n") == 1 and "ZeroDivisionError: division by zero" in err and str(log) in err
    text = log.read_text()
    assert text.startswith("comp run exp001 --full\n") and "Traceback" in text and "in run_experiment" in text


def test_outside_a_workspace_the_traceback_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def init_workspace(folder, data, slug):
        raise ZeroDivisionError

    monkeypatch.setattr("comp.init.init_workspace", init_workspace)
    assert main(["init", "new"]) == 1
    assert "in init_workspace" in capsys.readouterr().err
