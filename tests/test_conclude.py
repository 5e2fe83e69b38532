"""Competitions without a training table: classes are folders, or stand in the files' names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from comp.competition import open_competition
from comp.errors import DataError
from comp.init import init_workspace
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project
from tests.handed_out import Competition, asked, draw


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


def test_a_folder_per_class(tmp_path):
    root = tmp_path / "data"
    for part in ("train", "valid", "test"):
        for name in ("Pieris rapae", "Vanessa cardui"):
            draw(root / part / name, [f"{part}{i}" for i in range(5)])
    report = init_workspace(tmp_path / "w", root)
    found = YAML(typ="safe", pure=True).load(report.file.read_text())
    assert found["dataset"] == {"use": "folder", "data": str(root), "train": "train", "valid": "valid", "test": "test"}
    assert found["task"]["rows"] == 20 and found["task"]["test_rows"] == 10 and found["task"]["kind"] == "binary"
    assert found["leaderboard"] == {"use": "answers", "folder": "test"}  # the test images lie in class folders, too
    found = YAML(typ="safe", pure=True).load(init_workspace(tmp_path / "v", root / "train").file.read_text())
    assert found["dataset"]["train"] == "." and found["task"]["test_rows"] == 0


def test_classes_in_the_names_of_files(tmp_path):
    draw(tmp_path / "data/train", [f"{name}_{number}" for name in ("Abyssinian", "Bengal cat") for number in range(6)])
    draw(tmp_path / "data/test", ["1", "2", "10"])
    report = init_workspace(tmp_path / "w", tmp_path / "data")
    found = YAML(typ="safe", pure=True).load(report.file.read_text())
    assert found["task"]["classes"] == 2 and found["task"]["test_rows"] == 3 and "dataset.label" in asked(report)


def test_a_sample_that_numbers_its_rows_and_classes(tmp_path):
    for part, names in (("train/cat", "ab"), ("train/dog", "cd"), ("test/0", "xyz")):
        draw(tmp_path / "data" / part, names)
    pd.DataFrame({"answer value": [0, 0, 1]}).to_csv(tmp_path / "data" / "sample_submission.csv")
    report = init_workspace(tmp_path / "workspace", tmp_path / "data")
    found = YAML(typ="safe", pure=True).load(report.file.read_text(encoding="utf-8"))
    assert found["submission"] == {"use": "labels", "write": "number"} and "submission.use" in asked(report)
    project = Project(tmp_path / "workspace")
    create_experiment(project, "one")
    tables = open_competition(project, load_manifest(project, "one")).tables
    assert tables.id_column == "" and tables.test["id"].tolist() == ["test/0/x.png", "test/0/y.png", "test/0/z.png"]


def test_nothing_to_conclude_from(competition, tmp_path):
    with pytest.raises(DataError, match="holds no training table .* and no folders of images per class"):
        init_workspace(tmp_path / "w", tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        init_workspace(tmp_path / "w", tmp_path / "nowhere")
    assert not (tmp_path / "w").exists()


def test_a_numbered_sample_takes_no_class_names_and_so_has_no_answers(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog", "owl"):
            draw(tmp_path / "data" / part / name, [f"{part}{number}" for number in range(4)])
    pd.DataFrame({"answer value": [0, 1, 2] * 4}).to_csv(tmp_path / "data" / "sample_submission.csv")
    report = init_workspace(tmp_path / "workspace", tmp_path / "data")
    found = YAML(typ="safe", pure=True).load(report.file.read_text(encoding="utf-8"))
    assert found["submission"] == {"use": "labels", "write": "number"} and "leaderboard" not in found
