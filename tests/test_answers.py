"""The answers of the embedded digits' test set: read by the leaderboard alone, never by training or prediction."""

from __future__ import annotations

import gzip
import importlib

import numpy as np
import pytest

from comp.init import init_workspace
from comp.predictions import read_predictions
from comp.project import Project
from comp.run import run_experiment

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
split: {folds: 2}
train: {epochs: 1, threads: 1}
"""


def make_workspace(root) -> Project:
    init_workspace(root, None)
    folder = root / "experiments/exp001"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(MANIFEST)
    return Project(root)


def run(project: Project):
    return run_experiment(project, "exp001", emit=lambda event: None).folder


@pytest.fixture
def spoiled(tmp_path, monkeypatch):
    """Scikit-learn's file with an answer that cannot be read in every test row, and a leaderboard that may not be asked."""
    dataset = importlib.import_module("comp.plugins.dataset.digits")
    leaderboard = importlib.import_module("comp.plugins.leaderboard.digits")
    tests = dataset.choose_test_rows()
    with gzip.open(dataset.find_file(), "rt") as file:
        lines = [
            line.rpartition(",")[0] + ",unread\n" if row in tests else line for row, line in enumerate(file)
        ]  # fmt: skip
    assert sum("unread" in line for line in lines) == 450
    with gzip.open(tmp_path / "digits.csv.gz", "wt") as file:
        file.writelines(lines)
    monkeypatch.setattr(dataset, "find_file", lambda: tmp_path / "digits.csv.gz")

    def refuse() -> dict[str, str]:
        raise AssertionError("the answers were read")

    monkeypatch.setattr(leaderboard, "read_answers", refuse)


def test_training_and_prediction_do_not_need_the_answers_and_give_the_same_without(tmp_path, spoiled, monkeypatch):
    without = run(make_workspace(tmp_path / "spoiled"))
    monkeypatch.undo()
    usual = run(make_workspace(tmp_path / "usual"))
    for file in ("oof.parquet", "test.parquet"):
        one, other = read_predictions(without / file), read_predictions(usual / file)
        assert (one.ids == other.ids).all() and np.array_equal(one.values, other.values)
    assert len(other.ids) == 450
