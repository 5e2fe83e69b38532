"""The paintings, in small: class folders and a sample that numbers its rows, both rounds, a second backbone and the blend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.engine.checkpoint import load_weights
from tests.systems.commands import comp, with_sets
from tests.systems.folders import read_events, read_fold, write_classes, write_competition

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
COUNTS = (22, 14, 14, 14, 14, 14, 10)
TINY = ("train.workers=0", "train.threads=1", "model={widths: [16, 32], hidden: 64}", "head.hidden=64")
QUICK = (*TINY, "optimizer={lr: 3e-3, head_lr: 3e-3}", "train={epochs: 24, patience: 5, batch_size: 10}")


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> tuple[Path, list[str]]:
    """A workspace in which everything has run, and the right numbers of the test pictures."""
    root = tmp_path_factory.mktemp("paintings")
    write_classes(root / "data/train", CLASSES, COUNTS)
    truth = write_classes(root / "data/test", ["0"] * 7, [5] * 7, test=True)
    right = write_classes(root / "truth", CLASSES, [5] * 7, test=True)
    by_name = {Path(path).name: str(CLASSES.index(label)) for path, label in right.items()}
    rows = "".join(f"{number},0\n" for number in range(len(truth)))
    (root / "data/sample.csv").write_text(",answer value\n" + rows)
    write_competition(
        root,
        dataset={"use": "folder", "data": "data", "train": "train", "test": "test", "sample": "sample.csv"},
        task={"kind": "multiclass"},
        split={"use": "stratified", "folds": 2, "seed": 42},
        metric={"use": "accuracy"},
        submission={"use": "labels", "write": "number"},
    )
    comp(root, "new", "paintings", "--from", "paintings", *with_sets(*QUICK))
    comp(root, "run", "paintings", "--full")
    gently = with_sets("train.epochs=2", "optimizer={lr: 1e-4, head_lr: 1e-4}")
    comp(root, "new", "paintings_round2", "--from", "paintings_round2", *gently)
    comp(root, "new", "paintings_wide", "--from", "paintings_wide", *with_sets("model={widths: [24, 48], hidden: 64}"))
    for name in ("paintings_round2", "paintings_wide"):
        comp(root, "run", name)
    comp(root, "new", "paintings_blend", "--from", "paintings_blend")
    comp(root, "run", "paintings_blend")
    return root, [by_name[Path(path).name] for path in truth]


@pytest.mark.parametrize("name", ["paintings", "paintings_round2", "paintings_wide", "paintings_blend"])
def test_the_submission_numbers_rows_and_classes_and_is_mostly_right(answers, name: str) -> None:
    root, right = answers
    comp(root, "submit", name)
    table = pd.read_csv(root / "submissions" / name / "v001.csv", dtype=str)
    assert list(table.columns) == ["Unnamed: 0", "answer value"]
    assert (root / "submissions" / name / "v001.csv").read_text().startswith(",answer value\n0,")
    assert table["Unnamed: 0"].tolist() == [str(number) for number in range(35)]
    assert (table["answer value"] == right).mean() >= 0.5  # chance is 0.14


def test_it_stops_and_chooses_by_the_held_out_loss(answers) -> None:
    root, _ = answers
    for fold in "01":
        folder, record = read_fold(root, "paintings", fold)
        losses = pd.read_csv(folder / "history.csv")["held_out_loss"].tolist()
        assert record["select"] == "best" and record["best_epoch"] == int(np.argmin(losses))
        assert len(losses) == min(24, record["best_epoch"] + 1 + 5)


def test_full_trains_all_rows_for_the_folds_mean_and_has_no_score(answers) -> None:
    root, _ = answers
    best = [read_fold(root, "paintings", fold)[1]["best_epoch"] + 1 for fold in "01"]
    _, record = read_fold(root, "paintings", "full")
    assert record["epochs"] == round(sum(best) / 2)
    assert (record["train_rows"], record["held_out_rows"], record["scores"]) == (sum(COUNTS), 0, {})


def test_round_2_starts_from_its_own_folds_weights_and_evens_the_classes_out(answers) -> None:
    root, _ = answers
    said = [event["text"] for event in read_events(root, "paintings_round2") if event["event"] == "Notice"]
    for fold in "01":
        folder, first = read_fold(root, "paintings", fold)
        assert any(text.startswith(f"fold {fold}: starts from {folder / first['weights']}") for text in said)
    steps = {
        name: {event["steps_per_epoch"] for event in read_events(root, name) if event["event"] == "StageStarted"}
        for name in ("paintings", "paintings_round2")
    }
    # Round 1: 51 rows a fold, of which a last single one is no batch, and `full` 102. Round 2: 7 classes of 5 rows in tens.
    assert steps == {"paintings": {5, 11}, "paintings_round2": {4}}


def test_the_blend_is_the_mean_of_the_probabilities(answers) -> None:
    root, _ = answers
    tables = {}
    for name in ("paintings_round2", "paintings_wide", "paintings_blend"):
        [file] = (root / "experiments" / name / "runs").glob("*/test.parquet")
        tables[name] = pd.read_parquet(file).set_index("id")[list(CLASSES)]
    mean = (tables["paintings_round2"] + tables["paintings_wide"]) / 2
    assert np.allclose(tables["paintings_blend"].loc[mean.index], mean, atol=1e-6)


def test_the_write_ups_single_hold_out_and_its_switches(answers) -> None:
    root, _ = answers
    sets = ("split={use: holdout, share: 0.1, seed: 42}", "loss.weights=balanced", "augment.3.p=0.5", "train.epochs=1")
    comp(root, "new", "held", "--from", "paintings", *with_sets(*sets))
    comp(root, "run", "held")
    _, record = read_fold(root, "held")
    assert (record["held_out_rows"], record["train_rows"]) == (10, 92)
    shown = json.loads(comp(root, "show", "held", "--json"))
    assert "balanced" in json.dumps(shown)


def test_the_penalty_is_on_the_hidden_layer_alone(answers) -> None:
    root, _ = answers
    sizes = {}
    for name, l2 in (("free", 0.0), ("bound", 0.05)):
        comp(root, "new", name, "--from", "paintings", *with_sets(f"head.l2={l2}", "train.epochs=3", "mix=null"))
        comp(root, "run", name, "--only", "0")
        folder, record = read_fold(root, name)
        weights = load_weights(folder / record["weights"])
        sizes[name] = {key: float(weights[key].square().mean()) for key in ("head.1.weight", "backbone.dense.weight")}
    assert sizes["bound"]["head.1.weight"] < 0.8 * sizes["free"]["head.1.weight"]
    assert sizes["bound"]["backbone.dense.weight"] > 0.8 * sizes["free"]["backbone.dense.weight"]
