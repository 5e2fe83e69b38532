"""The whales, in small: pictures of the competition's own form through both of its manifests, end to end.

That each manifest runs on the digits, too, is tests/test_examples.py's.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.competitions.acceptance import find_faults
from tests.competitions.minis.whale_categorization_playground import WHALES, write
from tests.systems.commands import comp, with_sets

COMPETITION = """\
format: 1
dataset:
  {use: csv, data: DATA, train: train.csv, sample: sample_submission.csv, images: train, test_images: test, id: Image, target: Id}
task: {kind: multiclass, flip: false}
split: {use: stratified, folds: 2, seed: 42, rare: train_only}
metric: {use: map_at_k}
submission: {use: topk}
"""
QUICK = ("train.workers=0", "train.threads=1", "train.ema=false", "optimizer.lr=3e-3")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "competition.yaml").write_text(COMPETITION.replace("DATA", str(data)))
    return root


def submit(root: Path, name: str) -> pd.DataFrame:
    comp(root, "submit", name)
    return pd.read_csv(root / "submissions" / name / "v001.csv", dtype=str, na_filter=False)


def map_at_5(answers: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Mean of 1 / rank, 0 where the whale is not named; five names at random have 0.25."""
    wanted = dict(zip(solution["Image"], solution["Id"], strict=True))
    lists = dict(zip(answers["Image"], answers["Id"].str.split(" "), strict=True))
    return float(np.mean([1 / (lists[image].index(name) + 1) if name in lists[image] else 0 for image, name in wanted.items()]))


def read_run(root: Path, name: str) -> tuple[Path, dict]:
    [scores] = (root / "experiments" / name / "runs").glob("*/scores.json")
    return scores.parent, json.loads(scores.read_text())


def test_an_autoencoder_without_labels_then_classes_on_its_code(root: Path, data: Path, tmp_path: Path) -> None:
    stages = "stages=[{name: autoencoder, epochs: 4, objective: {use: reconstruction}}, {name: classes, epochs: 12}]"
    small = "model={backbone: {widths: [32, 64], hidden: 64, dropout: 0.1}}"
    comp(root, "new", "coded", "--from", "whales", *with_sets(*QUICK, stages, small, "train.batch_size=16"))
    comp(root, "run", "coded")
    answers = submit(root, "coded")
    assert find_faults("whale-categorization-playground", root / "submissions/coded/v001.csv", data) == []
    assert map_at_5(answers, write(tmp_path / "again")) >= 0.45
    run, scores = read_run(root, "coded")
    history = pd.read_csv(run / "fold0" / "history.csv")
    drawn = history[history["stage"] == "autoencoder"]["train_loss"]
    assert len(drawn) == 4 and drawn.iloc[-1] < 0.5 * drawn.iloc[0]
    picture = cv2.imread(str(run / "fold0" / "reconstructions.png"))
    assert picture.shape[1] / picture.shape[0] == 8 / 3  # eight images, their codes of 8 x 8 x 3, and what is drawn of them
    assert list((run / "tensorboard" / "fold0").glob("events.out.tfevents*"))
    assert scores["metric"] == "map_at_k" and scores["pooled"] > scores["also"]["accuracy"]["pooled"]


def test_the_store_holds_grey_squares_with_all_of_the_picture(root: Path, data: Path) -> None:
    """What a wide picture becomes: nothing cut off, black above and below, its darkest and brightest value 0 and 255."""
    comp(root, "new", "coded", "--from", "whales", *with_sets(*QUICK, "stages=null", "train.epochs=1"))
    comp(root, "run", "coded", "--debug")
    stores = [np.fromfile(file, np.uint8) for file in (root / ".comp" / "cache").glob("*/pixels.u8")]
    images = max(stores, key=len).reshape(-1, 32, 32)
    assert (images[:, :5] == 0).all() and (images[:, -5:] == 0).all()
    inked = images.reshape(len(images), -1).max(axis=1)
    assert np.median(inked) > 200 and (images[:, :, :6].max(axis=(1, 2)) > 0).any()


def test_arcface_on_crops_with_pk_batches_and_a_cut_off_for_new_whales(root: Path, data: Path, tmp_path: Path) -> None:
    boxes = pd.read_csv(data / "train.csv")[["Image"]].assign(x1=6, y1=0, x2=42, y2=20)  # others stay whole
    boxes.to_csv(root / "boxes.csv", index=False)
    crop = "{use: bbox_crop, file: boxes.csv, key: Image, columns: [x1, y1, x2, y2], corners: true, margin: 0.05}"
    sets = (
        f"preprocess=[{crop}, {{use: square, grey: true}}, {{use: stretch}}]", "post=[{use: new_class, name: new_whale}]",
        "sampler={classes: 4, images: 4}", "train={epochs: 20, batch_size: 16}",
        "model={widths: [16, 32, 64], hidden: 64, dropout: 0.0}",
        "head.embedding=32",
    )  # fmt: skip
    comp(root, "new", "arc", "--from", "whales_arcface", *with_sets(*QUICK, *sets))
    comp(root, "run", "arc")
    answers = submit(root, "arc")
    assert find_faults("whale-categorization-playground", root / "submissions/arc/v001.csv", data) == []
    assert map_at_5(answers, write(tmp_path / "again")) >= 0.45
    lists = answers["Id"].str.split(" ")
    assert lists.map(len).eq(5).all() and lists.map(lambda names: set(names) <= set(WHALES) and len(set(names)) == 5).all()
    [post] = json.loads((root / "submissions/arc/v001.json").read_text())["post"]
    assert post["name"] == "new_whale" and 0 < post["state"]["Id"]["cut"] < 1
