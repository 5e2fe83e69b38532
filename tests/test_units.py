from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.competition import open_competition
from comp.folds import open_folds
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project
from comp.units import find_labels, find_strata, make_units

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


def test_strata_of_every_kind(project):
    write_rows(project.root, "aabb" * 10, age=[str(i + 0.5) for i in range(40)], tags=["x", "y", "x y", ""] * 10)
    competition, _ = open_all(project, "dataset.target=[y,age]", "task={kind: multitarget}")
    targets = {"y": np.array([0, 0, 1, 1] * 10), "age": np.arange(40) + 0.5}
    strata = find_strata(competition.task, targets)
    assert len(np.unique(strata)) == 20 and np.bincount(strata).tolist() == [2] * 20
    labels = find_labels(competition.task, targets)
    assert labels.shape == (40, 2) and labels[:4].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    competition, _ = open_all(
        project, "dataset.target=tags", "dataset.separator=' '", "task={kind: multilabel}", "split={use: multilabel}"
    )
    units = make_units(competition)
    assert len(np.unique(units.strata)) == 4
    assert np.array_equal(units.labels.sum(axis=0), [20, 20])
