"""The plain pipeline, in small: a zip of class folders, a network from scratch, and a small head on stored features."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.systems.commands import comp, with_sets
from tests.systems.folders import read_fold, write_classes, write_competition

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
QUICK = ("train.workers=0", "train.threads=1", "image={size: 32}")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pipeline")
    write_classes(root / "loose", CLASSES, [16] * 7)
    (root / "data").mkdir()
    with zipfile.ZipFile(root / "data/train.zip", "w") as archive:
        for file in sorted((root / "loose").rglob("*.jpg")):
            archive.write(file, f"train/{file.relative_to(root / 'loose')}")
    write_classes(root / "data/test", ["unknown"] * 7, [4] * 7, test=True)
    write_competition(
        root,
        dataset={"use": "folder", "data": "data", "train": "train.zip", "test": "test"},
        task={"kind": "multiclass"},
        metric={"use": "accuracy"},
    )
    small = ("model={widths: [16, 16, 32, 32], hidden: 64}", "sampler.batches=8", "train.epochs=12", "augment.0.p=0.0")
    comp(root, "new", "pipeline", "--from", "pipeline", *with_sets(*QUICK, *small))
    comp(root, "run", "pipeline")
    return root


def test_a_quarter_of_each_class_is_held_out_once(root: Path) -> None:
    [file] = (root / "experiments/pipeline/runs").glob("*/folds.csv")
    folds = pd.read_csv(file)
    share = folds.groupby(folds["id"].str.split("/").str[-2])["fold"].apply(lambda fold: (fold == 0).sum())
    assert share.tolist() == [4] * 7 and set(folds["fold"]) == {-1, 0}


def test_epochs_of_so_many_batches_and_it_learns(root: Path) -> None:
    _, record = read_fold(root, "pipeline")
    assert (record["train_rows"], record["held_out_rows"], record["epochs"]) == (84, 28, 12)
    [file] = (root / "experiments/pipeline/runs").glob("*/events.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert {event["steps_per_epoch"] for event in events if event["event"] == "StageStarted"} == {8}  # 84 rows would be 3
    assert record["scores"]["accuracy"] >= 0.4  # chance is 0.14


def test_the_report_has_curves_and_each_classs_precision_recall_and_f1(root: Path) -> None:
    [file] = (root / "experiments/pipeline/runs").glob("*/report.html")
    page = file.read_text()
    assert all(word in page for word in ("precision", "recall", "F1", "<svg", *CLASSES))


def test_unseen_pictures_are_answered_as_a_table(root: Path) -> None:
    comp(root, "predict", "pipeline", "--test", str(root / "data/test"), "--out", str(root / "later.csv"))
    table = pd.read_csv(root / "later.csv", dtype=str)
    assert len(table) == 28 and set(table["label"]) <= set(CLASSES)


def test_a_second_head_finds_the_features_that_the_first_has_stored(root: Path) -> None:
    sets = (*QUICK, "stages.0.epochs=30", "train.batch_size=16")
    comp(root, "new", "first", "--from", "pipeline_features", *with_sets(*sets))
    comp(root, "run", "first")
    [stored] = (root / ".comp/cache").glob("*/features-*.npy")
    features, made = np.load(stored), stored.stat().st_mtime_ns
    assert features.shape == (112, 256) and np.isfinite(features).all() and features.std() > 0
    comp(root, "new", "second", "--from", "pipeline_features", *with_sets(*sets, "head={use: linear}"))
    comp(root, "run", "second")
    assert [path.stat().st_mtime_ns for path in (root / ".comp/cache").glob("*/features-*.npy")] == [made]
    assert read_fold(root, "first")[1]["scores"]["accuracy"] >= 0.3


@pytest.mark.parametrize("name", ["pipeline", "pipeline_features"])
def test_it_runs_on_the_digits(name: str, tmp_path: Path) -> None:
    (tmp_path / "competition.yaml").write_bytes((Path(__file__).parents[2] / "competition.yaml").read_bytes())
    comp(tmp_path, "new", "exp001", "--from", name)
    assert "OOF accuracy" in comp(tmp_path, "run", "exp001", "--debug")
