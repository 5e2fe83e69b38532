"""Which columns name the units and the images, and where those lie."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from comp.init import init_workspace
from comp.naming import find_template
from tests.handed_out import Competition, asked, draw


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


def test_a_column_of_paths(tmp_path):
    competition = Competition(tmp_path)
    competition.train(file=[f"train_images/{name}.png" for name in competition.ids], label=["x", "y"] * 6)
    table = pd.read_csv(competition.root / "train.csv")
    table["image_id"] = [f"n{i}" for i in range(12)]
    table.to_csv(competition.root / "train.csv", index=False)
    competition.sample(label="x")
    _, found = competition.init()
    assert found["dataset"]["image"] == "file" and found["dataset"]["images"] == "train_images"


def test_ids_with_an_extension_and_one_folder_for_all(tmp_path):
    competition = Competition(tmp_path)
    draw(competition.root / "images", [*competition.ids, *competition.test_ids])
    for name in ("train_images", "test_images"):
        for file in (competition.root / name).iterdir():
            file.unlink()
    competition.ids = [f"{name}.png" for name in competition.ids]
    competition.test_ids = [f"{name}.png" for name in competition.test_ids]
    competition.train(label=["x", "y"] * 6)
    competition.sample(label="x")
    _, found = competition.init()
    assert found["dataset"]["images"] == "images" and "test_images" not in found["dataset"] and found["task"]["test_rows"] == 4


def test_several_images_make_a_unit(competition):
    competition.train(label=[0, 0, 1, 1] * 3, study=np.repeat(["s1", "s2", "s3", "s4", "s5", "s6"], 2))
    pd.DataFrame({"study": ["s8", "s9"], "label": ["0", "0"]}).to_csv(competition.root / "sample_submission.csv", index=False)
    pd.DataFrame({"image_id": competition.test_ids, "study": ["s8", "s8", "s9", "s9"]}).to_csv(
        competition.root / "test.csv", index=False
    )
    _, found = competition.init()
    assert (found["dataset"]["id"], found["dataset"]["row"]) == ("study", "image_id")


def test_an_id_of_two_columns(tmp_path):
    competition = Competition(tmp_path)
    patients, sides = [f"p{number // 4}" for number in range(12)], ["L", "L", "R", "R"] * 3
    competition.train(label=[0, 0, 1, 1] * 3, patient=patients, side=sides)
    pd.DataFrame({"image_id": competition.test_ids, "patient": "p8", "side": ["L", "L", "R", "R"]}).to_csv(
        competition.root / "test.csv", index=False
    )
    pd.DataFrame({"answer": ["p8-L", "p8-R"], "label": 0.5}).to_csv(competition.root / "sample_submission.csv", index=False)
    report = init_workspace(tmp_path / "w", competition.root)
    found = YAML(typ="safe", pure=True).load(report.file.read_text())
    assert (found["dataset"]["id"], found["dataset"]["row"]) == ("{patient}-{side}", "image_id")
    # Three patients are too few for five folds, so that none is proposed.
    assert "group" not in found["split"] and "split.group" not in asked(report)


def test_copies_in_another_format_are_asked_about(competition):
    competition.train(label=["x", "y"] * 6)
    competition.sample(label="x")
    for part, names in (("train", competition.ids), ("test", competition.test_ids)):
        draw(competition.root / "tiff" / part, names, suffix=".tif")
    report, found = competition.init()
    assert found["dataset"]["images"] == "train_images" and found["dataset"]["test_images"] == "test_images"
    [question] = [note.question for note in report.questions if note.key == "dataset.images"]
    assert "tiff/train (.tif)" in question


def test_no_test_set_yet(competition):
    competition.train(label=["x", "y"] * 6)
    competition.sample(label="x")
    for file in (competition.root / "test_images").iterdir():
        file.unlink()
    report, found = competition.init()
    assert found["task"]["test_rows"] == 0 and "dataset.test_images" in asked(report)


def test_columns_that_make_no_id_are_passed_over_by_their_first_rows():
    """Twelve columns, of which each two could be joined in six ways: joining all rows each time is 792 times the work."""
    numbers = np.arange(20_000)
    columns = {f"c{place}": pd.Series((numbers // (place + 1)).astype(str)) for place in range(12)}
    test = pd.DataFrame(columns)
    ids = set("9" + test["c0"] + "1" + test["c1"])
    start = time.perf_counter()
    assert set(test["c0"] + "_" + test["c1"]) != ids
    once = time.perf_counter() - start
    start = time.perf_counter()
    assert find_template(test, test, ids) is None
    assert time.perf_counter() - start < 60 * once
    assert find_template(test, test, set(test["c3"] + "-" + test["c0"])) == "{c3}-{c0}"
