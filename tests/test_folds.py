from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.competition import open_competition
from comp.errors import FoldsError, FormatError, WorkspaceError
from comp.folds import Folds, open_folds
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project

COMPETITION = "dataset: {use: csv, images: '.', image: file, target: y}\nmetric: {use: accuracy}\n"


def write_rows(root: Path, labels: str, **columns: list) -> None:
    """A training table of one row per letter of `labels`; every row shows the same image."""
    table = pd.DataFrame({"id": [f"u{i:03d}" for i in range(len(labels))], "y": list(labels), **columns, "file": "x.png"})
    table.to_csv(root / "train.csv", index=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    write_rows(tmp_path, "aab" * 10, patient=[f"p{i // 3}" for i in range(30)])
    project = Project(tmp_path)
    create_experiment(project, "one")
    return project


def open_all(project: Project, *sets: str):
    manifest = load_manifest(project, "one", sets)
    competition = open_competition(project, manifest)
    return competition, open_folds(project, manifest, competition)


def folds_of(project: Project, *sets: str) -> Folds:
    return open_all(project, *sets)[1]


# ---- stored once ---------------------------------------------------------------------------------------------------------


def test_folds_are_made_once_and_read_back(project):
    made = folds_of(project)
    assert made.path == project.folds / "default.csv" and made.count == 5
    assert sorted(np.bincount(made.table["fold"]).tolist()) == [6] * 5
    before = made.path.stat().st_mtime_ns
    again = folds_of(project)
    assert again.path.stat().st_mtime_ns == before and again.sha256 == made.sha256
    pd.testing.assert_frame_equal(again.table, made.table)
    state = json.loads((project.folds / "default.json").read_text())
    assert state["format"] == 1 and state["split"] == {
        "use": "stratified",
        "repeats": 1,
        "folds": 5,
        "seed": 42,
        "group": None,
        "by": None,
        "rare": "spread",
    }


def test_folds_keep_ids_that_look_like_numbers_or_nothing(project):
    table = pd.read_csv(project.root / "train.csv", dtype=str)
    table.loc[:2, "id"] = ["007", "NA", "1e5"]
    table.to_csv(project.root / "train.csv", index=False)
    folds_of(project)
    assert {"007", "NA", "1e5"} <= set(folds_of(project).table["id"])


def test_folds_do_not_depend_on_the_order_of_the_table(project):
    made = folds_of(project)
    table = pd.read_csv(project.root / "train.csv", dtype=str)
    table.iloc[::-1].to_csv(project.root / "train.csv", index=False)
    for file in project.folds.glob("default.*"):
        file.unlink()
    assert folds_of(project).sha256 == made.sha256


def test_another_split_has_a_file_of_its_own(project):
    made, other = folds_of(project), folds_of(project, "split.folds=3")
    assert other.count == 3 and other.path.name != "default.csv" and other.path.parent == project.folds
    assert folds_of(project, "split.folds=3").path == other.path
    assert folds_of(project, "split.seed=7").path not in (made.path, other.path)
    assert folds_of(project, "split.seed=42").path == made.path
    assert folds_of(project).sha256 == made.sha256


def test_another_split_may_come_first(project):
    assert folds_of(project, "split.folds=3").path.name != "default.csv"
    assert folds_of(project).path.name == "default.csv"


def test_default_stays_what_it_was_made_of(project):
    made = folds_of(project)
    (project.root / "competition.yaml").write_text(COMPETITION + "split: {use: plain, folds: 3}\n")
    assert folds_of(project).path.name != "default.csv"
    assert folds_of(project, "split={use: stratified}").sha256 == made.sha256


def test_stored_folds_win_over_the_rule(project):
    made = folds_of(project)
    swapped = made.table.assign(fold=(made.table["fold"] + 1) % 5)
    swapped.to_csv(made.path, index=False)
    found = folds_of(project)
    assert found.table["fold"].tolist() == swapped["fold"].tolist() and found.sha256 != made.sha256


# ---- served --------------------------------------------------------------------------------------------------------------


def test_rows_of_a_fold_by_id(project):
    competition, folds = open_all(project)
    table = competition.tables.train.iloc[::-1].reset_index(drop=True)
    held_out, training = folds.held_out_rows(table, 2), folds.training_rows(table, 2)
    assert sorted([*held_out, *training]) == list(range(30))
    assert set(table["id"][held_out]) == set(folds.table["id"][folds.table["fold"] == 2])
    assert folds.of(["u003", "u001"]).tolist() == [int(folds.table.set_index("id")["fold"][name]) for name in ("u003", "u001")]
    with pytest.raises(FoldsError, match="1 ids have no fold in default.csv: 'z'"):
        folds.of(["u003", "z"])


def test_all_rows_of_a_unit_are_in_its_fold(project):
    (project.root / "competition.yaml").write_text(COMPETITION.replace("target: y", "target: y, id: patient, row: id"))
    write_rows(project.root, "a" * 15 + "b" * 15, patient=[f"p{i // 3}" for i in range(30)])
    competition, folds = open_all(project)
    assert len(folds.table) == 10
    held_out = folds.held_out_rows(competition.tables.train, 0)
    assert len(held_out) == 6 and competition.tables.train["id"][held_out].nunique() == 2


# ---- new rows ------------------------------------------------------------------------------------------------------------


def test_new_rows_do_not_move_old_ones(project):
    made = folds_of(project)
    write_rows(project.root, "aab" * 10 + "b" * 5 + "c")
    found = folds_of(project)
    old = found.table.set_index("id")["fold"]
    assert old[made.table["id"]].tolist() == made.table["fold"].tolist()
    new = old[[f"u{i:03d}" for i in range(30, 35)]]
    assert sorted(new.tolist()) == [0, 1, 2, 3, 4]
    stored = pd.read_csv(found.path)
    assert len(stored) == 36 and stored["id"].head(30).tolist() == made.table["id"].tolist()


def test_rows_that_are_gone_stay_in_the_file_only(project):
    made = folds_of(project)
    write_rows(project.root, "aab" * 9)
    found = folds_of(project)
    assert len(found.table) == 27 and len(pd.read_csv(found.path)) == 30 and found.sha256 != made.sha256
    write_rows(project.root, "aab" * 10)
    assert folds_of(project).sha256 == made.sha256


def test_a_new_row_goes_where_its_group_is(project):
    write_rows(project.root, "aab" * 10, patient=[f"p{i // 3}" for i in range(30)])
    made = folds_of(project, "split.group=patient")
    write_rows(project.root, "aab" * 10 + "b" * 4, patient=[*(f"p{i // 3}" for i in range(30)), "p4", "p4", "new", "new"])
    fold = folds_of(project, "split.group=patient").of(["u012", "u030", "u031", "u032", "u033"])
    assert fold[0] == fold[1] == fold[2] and fold[3] == fold[4]
    assert made.of(["u012"])[0] == fold[0]


def test_a_new_row_of_a_column_split_takes_its_column(project):
    write_rows(project.root, "ab" * 3, fold=[0, 1, 0, 1, 0, 1])
    folds_of(project, "split={use: column}")
    write_rows(project.root, "ab" * 4, fold=[0, 1, 0, 1, 0, 1, 1, 1])
    assert folds_of(project, "split={use: column}").of(["u006", "u007"]).tolist() == [1, 1]
    write_rows(project.root, "ab" * 5, fold=[1, 1, 0, 1, 0, 1, 1, 1, 0, 0])
    with pytest.raises(FoldsError, match=r"now gives 1 units another fold than was stored \('u000'\)"):
        folds_of(project, "split={use: column}")


# ---- refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("{use: stratified, folds: 31}", "there are 30 units"),
        ("{use: stratified, folds: 11, group: patient}", r"there are 10 groups \(patient\)"),
        ("{use: group, folds: 11, group: patient}", "'patient' has 10 groups"),
        ("{use: plain, folds: 31}", "there are 30 units"),
        ("{use: stratified, group: pateint}", "no column 'pateint'; the training table has"),
    ],
)
def test_folds_that_cannot_be_made(project, split, message):
    with pytest.raises(FoldsError, match=message):
        folds_of(project, f"split={split}")
    assert [file.name for file in project.folds.iterdir()] in ([], [".lock"])


def test_a_split_that_holds_nobody_out(project):
    write_rows(project.root, "ab" * 3, fold=[0, 2, 0, 2, 0, 2])
    with pytest.raises(FoldsError, match=r"no unit is held out in fold \[1\]"):
        folds_of(project, "split={use: column}")
    write_rows(project.root, "ab" * 3, fold=[-1] * 6)
    with pytest.raises(FoldsError, match="no unit is held out in fold every one"):
        folds_of(project, "split={use: column}")


def test_a_workspace_that_cannot_be_written(project):
    project.folds.touch()
    with pytest.raises(WorkspaceError, match="folds cannot be written: File exists"):
        folds_of(project)


def test_groups_that_changed_since(project):
    folds_of(project, "split.group=patient")
    write_rows(project.root, "aab" * 10, patient=["p1"] * 30)
    with pytest.raises(FoldsError, match=r"1 groups of 'patient' stand in two folds \('p1'\)"):
        folds_of(project, "split.group=patient")


def test_a_plugin_that_returns_something_else(project):
    (project.root / "plugins").mkdir()
    (project.root / "plugins" / "odd.py").write_text(
        "import numpy as np\nfrom comp.api import Units, plugin\n\n@plugin('split')\ndef odd(units: Units, /) -> np.ndarray:\n"
        "    '''Odd.'''\n    return np.zeros(3)\n"
    )
    with pytest.raises(FoldsError, match=r"split 'odd' returned float64 \(3,\); wanted int64 \(30,\)"):
        folds_of(project, "split={use: odd}")


@pytest.mark.parametrize(
    "text", ["id,fold\nu000,0\nu000,1\n", "id,fold\nu000,x\n", "id,fold\nu000,-2\n", "unit,fold\nu000,0\n", ""]
)
def test_a_damaged_file(project, text):
    folds_of(project).path.write_text(text)
    with pytest.raises(FoldsError, match="restore it, or remove it"):
        folds_of(project)


def test_a_file_without_its_sidecar_or_of_a_newer_version(project):
    sidecar = folds_of(project).path.with_suffix(".json")
    text = sidecar.read_text()
    sidecar.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(FormatError, match="format 2; this version of comp reads up to 1"):
        folds_of(project)
    sidecar.unlink()
    with pytest.raises(FoldsError, match="says which split default.csv is of"):
        folds_of(project)


def test_two_processes_make_one_file(project):
    code = (
        "import sys; from pathlib import Path; from comp.project import Project; from comp.manifest import load_manifest\n"
        "from comp.competition import open_competition; from comp.folds import open_folds\n"
        "project = Project(Path(sys.argv[1])); manifest = load_manifest(project, 'one')\n"
        "print(open_folds(project, manifest, open_competition(project, manifest)).sha256)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(project.root)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = {process.communicate(timeout=60)[0].strip() for process in both}
    assert said == {folds_of(project).sha256}
