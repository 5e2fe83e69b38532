"""Every shipped manifest says what it does, how it is run, what it costs and what to expect; it checks, extends and trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comp.cli import main
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project, examples_folder

ROOT = Path(__file__).parents[1]
DIGITS = Project(ROOT)


def list_shipped() -> list[str]:
    """The examples; `expNNN` is what `make demo` leaves in a checkout."""
    found = sorted(file.parent.name for file in (ROOT / "experiments").glob("*/manifest.yaml"))
    return [name for name in found if not re.match(r"exp\d", name)]


SHIPPED = list_shipped()


def list_needed(name: str) -> list[str]:
    """Which of them must have run before it, first things first: those that it blends or starts from, and theirs."""
    values = load_manifest(DIGITS, name).values
    members = (values.get("blend") or {}).get("members") or []
    named = [*(members.values() if isinstance(members, dict) else members), values.get("init")]
    return list(dict.fromkeys(found for one in named if one in SHIPPED for found in (*list_needed(one), one)))


def shorten(name: str) -> list[str]:
    """`--set`s for a run of one epoch in each stage."""
    values = load_manifest(DIGITS, name).values
    if values.get("blend"):
        return []
    stages = [f"stages.{number}.epochs=1" for number in range(len(values["stages"] or ()))]
    return [word for text in stages or ["train.epochs=1"] for word in ("--set", text)]


def read_head(name: str) -> str:
    text = (ROOT / "experiments" / name / "manifest.yaml").read_text(encoding="utf-8")
    return text.partition("\nabout:")[0]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Project:
    (tmp_path / "competition.yaml").write_bytes((ROOT / "competition.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def test_there_are_some_and_they_lie_where_new_looks():
    assert {"digits_cnn", "digits_cutmix"} <= set(SHIPPED)
    assert examples_folder() == ROOT / "experiments"


@pytest.mark.parametrize("name", SHIPPED)
def test_its_head_says_command_cost_and_expected_score(name):
    head = read_head(name)
    assert all(line.startswith("#") for line in head.splitlines())
    [source] = re.findall(r"comp new exp\d+ --from (\w+) && comp run exp\d+", head)
    assert source == name
    assert re.search(r"Cost: .*\d.*(minute|hour)", head) and re.search(r"Expected: .*\d\.\d\d", head)
    about = load_manifest(DIGITS, name).values["about"]
    [expected] = re.findall(r"Expected: \D+(\d\.\d+)", head)
    assert f"expected {expected} OOF" in about


@pytest.mark.parametrize("name", SHIPPED)
def test_it_has_no_fault_as_it_stands_and_extended_elsewhere(name, workspace):
    here = load_manifest(DIGITS, name, library=True)
    for needed in list_needed(name):
        create_experiment(workspace, needed, needed)
    folder = create_experiment(workspace, "mine", name)
    there = load_manifest(workspace, folder.name, library=True)
    assert there.parents[0] == name
    kept = {key: value for key, value in here.values.items() if key not in ("about", "extends")}
    assert {key: there.values[key] for key in kept} == kept


@pytest.mark.parametrize("name", SHIPPED)
def test_it_runs(name, workspace, capsys):
    file = workspace.competition_file
    file.write_text(file.read_text().replace("folds: 5", "folds: 2"))
    for needed in list_needed(name):
        assert main(["new", needed, "--from", needed, *shorten(needed)]) == 0
        assert main(["run", needed]) == 0
    assert main(["new", "exp001", "--from", name]) == 0
    values = load_manifest(DIGITS, name).values
    code = main(["run", "exp001", *([] if values.get("blend") else ["--debug"])])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert f"OOF {values['metric']['use']}" in said.out and "complete" in said.out


def test_the_child_states_only_what_it_changes():
    parent, child = load_manifest(DIGITS, "digits_cnn").values, load_manifest(DIGITS, "digits_cutmix").values
    changed = {key for key in child if child[key] != parent.get(key)}
    assert changed == {"about", "extends", "mix"}


@pytest.mark.parametrize("name", ["masks_high", "masks_rest"])
def test_a_model_for_one_of_the_labels_is_submitted_and_scored_by_that_label(name, workspace, capsys):
    file = workspace.competition_file
    file.write_text(file.read_text().replace("folds: 5", "folds: 2"))
    assert main(["new", "exp001", "--from", name, *shorten(name), "--set", "train.patience=null"]) == 0
    assert main(["run", "exp001"]) == 0
    code = main(["submit", "exp001"])
    said = capsys.readouterr()
    assert code == 0 and "local leaderboard: public 0." in said.out, said.err
    target = load_manifest(workspace, "exp001").values["dataset"]["target"]
    assert (workspace.root / "submissions/exp001/v001.csv").read_text().startswith(f"id,{target}\n")
