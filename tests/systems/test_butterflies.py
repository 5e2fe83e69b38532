"""The butterflies, in small: folders train, valid and test, a network with weights of a file, trained whole and in stages."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from comp.engine.checkpoint import load_weights
from tests.systems.commands import comp, with_sets
from tests.systems.folders import read_fold, write_classes, write_competition

CLASSES = ("apollo", "brimstone", "comma", "monarch", "peacock")
ARCH = "test_efficientnet"
TINY = (
    "train.workers=0", "train.threads=1", "image={size: 32}", "split={use: column, column: part, held_out: [valid]}",
    f"model={{use: timm, arch: {ARCH}, pretrained: weights.safetensors}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("butterflies")
    write_classes(root / "data/train", CLASSES, [20] * 5)
    write_classes(root / "data/valid", CLASSES, [6] * 5, skip=20)
    write_classes(root / "data/test", CLASSES, [6] * 5, test=True)
    write_classes(root / "own", ["mine"] * 5, [4] * 5, test=True, skip=6)
    torch.manual_seed(0)
    save_file(timm.create_model(ARCH, num_classes=0).state_dict(), root / "weights.safetensors")
    write_competition(
        root,
        dataset={"use": "folder", "data": "data", "train": "train", "valid": "valid", "test": "test"},
        task={"kind": "multiclass"},
        metric={"use": "accuracy"},
        leaderboard={"use": "answers", "folder": "test"},
    )
    comp(root, "new", "butterflies", "--from", "butterflies", *with_sets(*TINY, "train.epochs=12", "train.batch_size=16"))
    comp(root, "run", "butterflies")
    comp(root, "new", "butterflies_stages", "--from", "butterflies_stages", *with_sets("stages.0.epochs=3", "stages.1.epochs=2"))
    comp(root, "run", "butterflies_stages")
    return root


def test_the_valid_folder_is_held_out_and_nothing_else(root: Path) -> None:
    _, record = read_fold(root, "butterflies")
    assert (record["train_rows"], record["held_out_rows"]) == (100, 30)
    assert record["scores"]["accuracy"] >= 0.5  # chance is 0.2


def test_test_accuracy_comes_from_the_test_folders(root: Path) -> None:
    said = comp(root, "submit", "butterflies")
    table = pd.read_csv(root / "submissions/butterflies/v001.csv", dtype=str)
    right = (table["label"] == table["id"].str.split("/").str[1]).mean()
    assert len(table) == 30 and right >= 0.5
    assert f"local leaderboard: public {right:.4f}" in said


def read_layers(root: Path, name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The backbone's weights before and after."""
    folder, record = read_fold(root, name)
    after = load_weights(folder / record["weights"])
    kept = {key.removeprefix("backbone.network."): value for key, value in after.items() if key.startswith("backbone.")}
    return load_file(root / "weights.safetensors"), kept


def test_stage_2_leaves_batch_norm_and_the_first_14_layers_alone(root: Path) -> None:
    before, after = read_layers(root, "butterflies_stages")
    assert before.keys() == after.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    network = timm.create_model(ARCH, num_classes=0)
    layers = [name for name, part in network.named_modules() if list(part.parameters(recurse=False))]
    norms = {name for name, part in network.named_modules() if "norm" in type(part).__name__.lower()}
    free = set(layers[14:]) - norms
    assert {key.rpartition(".")[0] for key in moved} == free and len(free) >= 5


def test_run_1_moves_everything(root: Path) -> None:
    before, after = read_layers(root, "butterflies")
    assert all(not torch.equal(before[key], after[key]) for key in before)


def test_the_head_stage_learns_from_stored_features(root: Path) -> None:
    assert list((root / ".comp/cache").glob("*/features-*.npy"))
    history = pd.read_csv(read_fold(root, "butterflies_stages")[0] / "history.csv")
    head = history[history["stage"] == "head"]
    assert history["stage"].tolist() == ["head"] * 3 + ["most"] * 2
    assert head["train_loss"].iloc[-1] < head["train_loss"].iloc[0]
    assert history["lr"].tolist() == pytest.approx([1e-3] * 3 + [1e-5] * 2)


def test_twenty_pictures_of_ones_own_are_predicted_and_shown(root: Path) -> None:
    comp(root, "predict", "butterflies", "--test", "own", "--out", "own.csv", "--pictures", "own.html")
    table = pd.read_csv(root / "own.csv", dtype=str)
    assert len(table) == 20 and set(table["label"]) <= set(CLASSES)
    page = (root / "own.html").read_text()
    assert page.count("data:image/jpeg") >= 20


@pytest.mark.parametrize("name", ["butterflies", "butterflies_stages"])
def test_it_runs_on_the_digits(name: str, tmp_path: Path) -> None:
    (tmp_path / "competition.yaml").write_bytes((Path(__file__).parents[2] / "competition.yaml").read_bytes())
    comp(tmp_path, "new", "exp001", "--from", name)
    assert "OOF accuracy" in comp(tmp_path, "run", "exp001", "--debug")
