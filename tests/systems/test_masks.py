"""The masks, in small: people's folders of seven pictures, one network or one for each label, composed to 18 classes.

That each manifest runs on the digits, too, is tests/test_examples.py's.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.competitions.drawing import Drawing, name_hex, take_digits
from tests.systems.commands import comp, with_sets

COMPETITION = """\
format: 1
dataset:
  use: csv
  data: DATA
  train: train/train.csv
  images: train/images
  folders: path
  test: eval/info.csv
  test_images: eval/images
  sample: eval/info.csv
  id: ImageID
  target: ans
  derive:
    - mask = (file == 'incorrect_mask') + 2*(file == 'normal')
    - sex = gender == 'female'
    - band = (age >= 30) + (age >= 60)
    - ans = mask*6 + sex*3 + band
task: {kind: multiclass}
split: {use: stratified, folds: 2, seed: 42}
metric: {use: macro_f1}
submission: {use: labels}
"""
FILES = ("mask1.jpg", "mask2.png", "mask3.jpg", "mask4.jpg", "mask5.jpg", "incorrect_mask.jpg", "normal.jpg")
AGES = (22, 45, 60)
PEOPLE, SIDE_PX = 18, 32
OWN = ("split.group=path", "split.by=[sex, band]", "split.folds=2", "image={size: 32, mean: auto, std: auto}")
QUICK = (
    "train={epochs: 14, batch_size: 16, workers: 0, threads: 1, ema: false}", "optimizer.lr=2e-3", "augment=[]",
    "model={widths: [16, 32, 32], hidden: 64, dropout: 0.1}",
)  # fmt: skip


def draw(mask: int, sex: int, band: int, stock: dict[int, list[Drawing]]) -> Drawing:
    """Three digits on a sheet: 0 to 2 for the mask, 3 or 4 for the gender, 6 to 8 for the age; each is used up."""
    sheet = np.zeros((16, 16))
    for digit, top, left in ((mask, 0, 0), (3 + sex, 0, 8), (6 + band, 8, 4)):
        sheet[top : top + 8, left : left + 8] = stock[digit].pop().ink
    return Drawing(mask * 6 + sex * 3 + band, sheet)


def stack(counts: tuple[int, ...], test: bool) -> dict[int, list[Drawing]]:
    found: dict[int, list[Drawing]] = {digit: [] for digit in range(10)}
    for drawing in take_digits(counts, test):
        found[drawing.digit].append(drawing)
    return found


def write(data: Path) -> pd.DataFrame:
    """The layout of the boot camp's competition: people's folders below train/images, pictures without people in eval/images."""
    stock, people = stack((90, 18, 18, 63, 63, 0, 42, 42, 42, 0), test=False), []
    for number in range(PEOPLE):
        sex, band = number % 2, number // 2 % 3
        gender = ("male", "female")[sex]
        folder = f"{number + 1:06d}_{gender}_Asian_{AGES[band]}"
        people.append((f"{number + 1:06d}", gender, "Asian", AGES[band], folder))
        for name in FILES:
            mask = {"incorrect_mask.jpg": 1, "normal.jpg": 2}.get(name, 0)
            draw(mask, sex, band, stock).save(data / "train/images" / folder / name, SIDE_PX, SIDE_PX)
    pd.DataFrame(people, columns=["id", "gender", "race", "age", "path"]).to_csv(data / "train/train.csv", index=False)
    stock, rows = stack((20, 20, 20, 20, 20, 0, 20, 20, 20, 0), test=True), []
    for code in range(36):
        drawing = draw(code % 18 // 6, code % 6 // 3, code % 3, stock)
        rows.append((f"{name_hex(code, 40)}.jpg", str(drawing.digit)))
        drawing.save(data / "eval/images" / rows[-1][0], SIDE_PX, SIDE_PX)
    solution = pd.DataFrame(rows, columns=["ImageID", "ans"]).sort_values("ImageID", ignore_index=True)
    solution.assign(ans="0").to_csv(data / "eval/info.csv", index=False)
    return solution


@pytest.fixture(scope="module")
def solution(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "solution.csv", dtype=str)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("masks")
    write(root / "data").to_csv(root / "solution.csv", index=False)
    (root / "competition.yaml").write_text(COMPETITION.replace("DATA", str(root / "data")))
    return root


def share_right(root: Path, name: str, solution: pd.DataFrame) -> float:
    """Of the submission, whose ids and columns must be the sample's."""
    comp(root, "submit", name)
    answers = pd.read_csv(root / "submissions" / name / "v001.csv", dtype=str, na_filter=False)
    assert answers.columns.tolist() == ["ImageID", "ans"] and answers["ImageID"].tolist() == solution["ImageID"].tolist()
    return float((answers["ans"] == solution["ans"]).mean())


def read_run(root: Path, name: str) -> tuple[Path, dict]:
    [scores] = (root / "experiments" / name / "runs").glob("*/scores.json")
    return scores.parent, json.loads(scores.read_text())


def list_epochs(run: Path) -> list[dict]:
    events = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [event for event in events if event["event"] == "EpochFinished"]


def test_one_network_for_18_classes_and_people_stay_together(root: Path, solution: pd.DataFrame) -> None:
    comp(root, "new", "joint", "--from", "masks", *with_sets(*OWN, *QUICK, "train.patience=8"))
    comp(root, "run", "joint")
    run, scores = read_run(root, "joint")
    oof, folds = pd.read_parquet(run / "oof.parquet"), pd.read_csv(run / "folds.csv", dtype=str)
    assert len(oof) == len(folds) == PEOPLE * 7 and {str(code) for code in range(18)} <= set(oof.columns)  # every row counts
    of_person = folds.assign(person=folds["id"].str.split("/").str[0]).groupby("person")["fold"]
    assert of_person.nunique().eq(1).all()
    people = of_person.first().reset_index()
    parts = people["person"].str.extract(r"_(?P<gender>\w+)_Asian_(?P<age>\d+)")
    held = pd.crosstab([parts["gender"], parts["age"]], people["fold"])
    assert held.shape == (6, 2) and held.isin([1, 2]).all(axis=None)  # three people of each gender and band
    assert scores["metric"] == "macro_f1" and len(scores["also"]["accuracy"]["per_fold"]) == 2
    assert share_right(root, "joint", solution) >= 0.15


def test_a_head_for_each_label_on_one_network(root: Path, solution: pd.DataFrame) -> None:
    own = ("dataset.auxiliary=[mask, sex, band]", "head={hidden: 32, dropout: 0.1, code: ans = mask*6 + sex*3 + band}")
    comp(root, "new", "multi", "--from", "masks_multi", *with_sets(*OWN, *QUICK, *own, "train.patience=null"))
    comp(root, "run", "multi")
    assert share_right(root, "multi", solution) >= 0.3
    run, scores = read_run(root, "multi")
    assert list(scores["per_target"]) == ["ans"]
    assert set(list_epochs(run)[0]["parts"]) == {"ans", "mask", "sex", "band"}  # the parts are trained, and not scored


def test_one_model_for_each_label_composed(root: Path, solution: pd.DataFrame) -> None:
    for label in ("mask", "sex", "band"):
        sets = (*OWN, *QUICK, f"dataset.target={label}", "task.kind=null", "train={epochs: 6, patience: null}")
        comp(root, "new", f"masks_{label}", "--from", "masks_high", *with_sets(*sets))
        comp(root, "run", f"masks_{label}")
    members = "members: {high: null, rest: null, mask: masks_mask, sex: masks_sex, band: masks_band}"
    sets = (*OWN[:3], f"blend={{{members}, code: mask*6 + sex*3 + band}}")
    comp(root, "new", "composed", "--from", "masks_compose", *with_sets(*sets))
    comp(root, "run", "composed")
    assert share_right(root, "composed", solution) >= 0.3


def test_networks_that_vote(root: Path, solution: pd.DataFrame) -> None:
    sets = (*OWN, *QUICK, "ensemble.estimators=2", "train={epochs: 2, patience: null}")
    comp(root, "new", "voting", "--from", "masks_voting", *with_sets(*sets))
    comp(root, "run", "voting")
    share_right(root, "voting", solution)
    run, _ = read_run(root, "voting")
    assert {event["epoch"] for event in list_epochs(run)} == {0, 1, 2, 3}  # two networks, two epochs each


CHANGES = {
    "ldam": "loss={use: ldam, max_m: 0.5, weights: effective}",
    "smoothing": "loss={use: cross_entropy, smoothing: 0.1}",
    "fewer": "sampler={use: resample, method: RandomUnderSampler}",
    "cyclic": "scheduler={use: torch, name: CyclicLR, mode: exp_range, gamma: 0.7, base_lr: 1e-6, every: epoch, step_size_up: 1}",
    "middle": "preprocess=[{use: centre_crop, size: [28, 22]}]",
    "background": "preprocess=[{use: background}]",
    "face": "preprocess=[{use: face_crop, function: faces.detect}]",
}


@pytest.mark.parametrize("idea", CHANGES)
def test_what_else_the_write_up_names_is_one_set_away(root: Path, idea: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root))
    (root / "faces.py").write_text("def detect(image):\n    return [(4, 4, 20, 20)]\n")
    comp(root, "new", idea, "--from", "masks", *with_sets(*OWN, *QUICK, CHANGES[idea]))
    comp(root, "check", idea)
