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
    folder = create_experiment(workspace, "mine", name)
    there = load_manifest(workspace, folder.name, library=True)
    assert there.parents[0] == name
    kept = {key: value for key, value in here.values.items() if key not in ("about", "extends")}
    assert {key: there.values[key] for key in kept} == kept


@pytest.mark.parametrize("name", SHIPPED)
def test_it_runs(name, workspace, capsys):
    assert main(["new", "exp001", "--from", name]) == 0
    code = main(["run", "exp001", "--debug"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "OOF accuracy" in said.out and "complete" in said.out


def test_the_child_states_only_what_it_changes():
    parent, child = load_manifest(DIGITS, "digits_cnn").values, load_manifest(DIGITS, "digits_cutmix").values
    changed = {key for key in child if child[key] != parent.get(key)}
    assert changed == {"about", "extends", "mix"}
