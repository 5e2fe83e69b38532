from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from comp.competition import open_competition
from comp.folds import open_folds
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project
from comp.rare import rare_classes

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


def test_rare_classes_by_hand(project):
    # a: 10, b: 3, c: 1 of 14 units. c is held out once, unseen; everything else can be right: 13 of 14.
    write_rows(project.root, "a" * 10 + "bbb" + "c")
    competition, folds = open_all(project)
    (rare,) = rare_classes(competition, folds)
    assert rare.classes == (("c", 1), ("b", 3)) and (rare.scored, rare.out_of_reach) == (14, 1)
    assert rare.accuracy_in_reach == pytest.approx(13 / 14)
    assert rare.macro_f1_in_reach == pytest.approx(2 / 3)


def test_rare_classes_held_out_together_are_out_of_reach(project):
    write_rows(project.root, "aaaa" + "bb", fold=[0, 1, 0, 1, 0, 0])
    competition, folds = open_all(project, "split={use: column}")
    assert rare_classes(competition, folds) == []
    write_rows(project.root, "aaaa" + "bb" + "aa", fold=[0, 1, 2, 1, 0, 0, 2, 1])
    (rare,) = rare_classes(*open_all(project, "split={use: column, held_out: ['0', '1', '2']}"))
    assert rare.classes == (("b", 2),) and rare.out_of_reach == 2 and rare.accuracy_in_reach == pytest.approx(6 / 8)


def test_no_rare_classes_among_many(project):
    assert rare_classes(*open_all(project)) == []
