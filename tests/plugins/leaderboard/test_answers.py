"""Leaderboard `answers`: the share of right labels by the test's class folders, or by a table."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from comp.api import PluginError, SubmissionError, Tables
from comp.cli import main
from comp.plugins.dataset.folder import folder as open_folder
from comp.plugins.leaderboard.answers import answers

TRUTH = {"test/cat/1.jpg": "cat", "test/cat/2.jpg": "cat", "test/dog/1.jpg": "dog", "test/wild cat/9.jpg": "wild cat"}


def make_tables(root: Path, images: list[str], ids: list[str] | None = None) -> Tables:
    test = pd.DataFrame({"row_id": images, "id": ids or images, "image": images})
    return Tables(train=test, test=test, sample=None, id_column="id", targets=("label",), files=(), root=root)


@pytest.fixture
def folders(tmp_path: Path) -> Tables:
    return make_tables(tmp_path, list(TRUTH))


def save(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def submit(tmp_path: Path, header: str, rows: list[str]) -> Path:
    return save(tmp_path / "v001.csv", "\n".join([header, *rows]) + "\n")


def test_class_folders_are_the_answers_in_any_order_of_rows(tmp_path: Path, folders: Tables):
    right = [f"{name},{label}" for name, label in TRUTH.items()]
    score = answers(folders, folder="test")
    assert score(submit(tmp_path, "id,label", right[::-1])) == {"public": 1.0}
    wrong = [right[0][:-3] + "dog", right[1][:-3] + "bird", *right[2:]]
    assert score(submit(tmp_path, "id,label", wrong)) == {"public": 0.5}


def test_of_several_columns_the_largest_counts_and_of_equals_the_first(tmp_path: Path, folders: Tables):
    rows = ["0.1,0.5,0.3,0.1", "0.4,0.1,0.1,0.4", "0.1,0,0.9,0", "1e-3,0,0,2e-2"]  # cat, bird (a tie), dog, wild cat
    file = submit(tmp_path, "id,bird,cat,dog,wild cat", [f"{name},{row}" for name, row in zip(TRUTH, rows, strict=True)])
    assert answers(folders, folder="test")(file) == {"public": 0.75}


def test_ids_are_those_of_the_test_table_or_its_rows_numbers(tmp_path: Path):
    named = make_tables(tmp_path, list(TRUTH), ids=["a", "b", "c", "d"])
    file = submit(tmp_path, "id,label", ["b,cat", "a,cat", "d,cat", "c,dog"])
    assert answers(named, folder="test")(file) == {"public": 0.75}
    numbered = submit(tmp_path, ",answer value", ["0,cat", "1,dog", "2,dog", "3,wild cat"])
    assert answers(named, folder="test")(numbered) == {"public": 0.75}


def test_several_images_of_an_id_are_one_answer_and_must_agree(tmp_path: Path):
    two = make_tables(tmp_path, ["test/cat/1.jpg", "test/cat/2.jpg", "test/dog/1.jpg"], ids=["a", "a", "b"])
    assert answers(two, folder="test")(submit(tmp_path, "id,label", ["a,cat", "b,cat"])) == {"public": 0.5}
    torn = make_tables(tmp_path, ["test/cat/1.jpg", "test/dog/1.jpg"], ids=["a", "a"])
    with pytest.raises(SubmissionError, match="'a' has images in 'cat' and in 'dog'"):
        answers(torn, folder="test")(submit(tmp_path, "id,label", ["a,cat"]))


def test_images_outside_class_folders_have_no_answer(tmp_path: Path, folders: Tables):
    loose = make_tables(tmp_path, ["test/1.jpg"])
    with pytest.raises(SubmissionError, match="'test/1.jpg' lies in no class folder of 'test'"):
        answers(loose, folder="test")(submit(tmp_path, "id,label", ["test/1.jpg,cat"]))
    with pytest.raises(SubmissionError, match="no class folder of 'tests'"):
        answers(folders, folder="tests")(submit(tmp_path, "id,label", ["test/cat/1.jpg,cat"]))


def test_a_table_is_read_by_its_first_two_columns_or_by_those_named(tmp_path: Path, folders: Tables):
    save(tmp_path / "solution.csv", "id,label,fine,Usage\n007,3,30,Public\n008,0,1,Private\n")
    file = submit(tmp_path, "Id,Predicted", ["008,0", "007,30"])
    assert answers(folders, file="solution.csv")(file) == {"public": 0.5}
    assert answers(folders, file=str(tmp_path / "solution.csv"), id="id", target="fine")(file) == {"public": 0.5}
    coarse = submit(tmp_path, "Id,Predicted", ["007,3", "008,0"])
    assert answers(folders, file="solution.csv", target="label")(coarse) == {"public": 1.0}


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("id,label", ["007,3"], "1 rows for 2 answers; see '008'"),
        ("id,label", ["007,3", "008,0", "008,0"], "3 rows for 2 answers; see ids twice"),
        ("id,label", ["7,3", "8,0"], "2 rows for 2 answers; see '007', '008', '7'"),
        ("id,label", ["007,0.73", "008,0.1"], "'label' such as '0.73'; the answers are labels such as '0'"),
        ("id,0,1", ["007,0.7,0.3", "008,0.1,0.9"], "'0', '1' such as '0.7'"),
        ("id,0,3", ["007,0.7,0.3", "008,x,0.9"], "could not convert string to float: 'x'"),
        ("id,label", ["007,3", "008"], "row 2 has not the 2 cells of the header"),
        ("id,label", [], "has no rows"),
    ],
)
def test_what_cannot_be_scored_is_refused(header: str, rows: list[str], said: str, tmp_path: Path, folders: Tables):
    save(tmp_path / "solution.csv", "id,label\n007,3\n008,0\n")
    with pytest.raises(SubmissionError) as caught:
        answers(folders, file="solution.csv")(submit(tmp_path, header, rows))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("table", "named", "said"),
    [
        (None, {}, "cannot be read"),
        ("id\n1\n", {}, "wanted an id and an answer"),
        ("id,label\n", {}, "0 answers"),
        ("id,label\n1,a\n1,b\n", {}, "2 answers for 1 different 'id'"),
        ("id,label\n1,a\n", {"target": "species"}, "no column 'species'"),
        ("id,label\n1,a\n", {"id": "image"}, "no column 'image'"),
    ],
)
def test_a_table_that_holds_no_answers_is_named(
    table: str | None, named: dict[str, str], said: str, tmp_path: Path, folders: Tables
):
    if table is not None:
        save(tmp_path / "solution.csv", table)
    with pytest.raises(SubmissionError, match="solution.csv") as caught:
        answers(folders, file="solution.csv", **named)(submit(tmp_path, "id,label", ["1,a"]))
    assert said in str(caught.value)


def test_one_place_of_the_answers_is_given(folders: Tables):
    for given in ({}, {"folder": "test", "file": "solution.csv"}):
        with pytest.raises(PluginError, match="Give `folder`"):
            answers(folders, **given)


def paint_classes(data: Path) -> None:
    """Bright, dark and grey squares of noise, each in its class folder, for training and test; a note that is no image."""
    noise = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for name, level in (("bright", 215), ("dark", 10), ("grey", 110)):
            (data / part / name).mkdir(parents=True)
            for number in range(count):
                image = noise.integers(level, level + 40, (32, 32, 3)).astype(np.uint8)
                cv2.imwrite(str(data / part / name / f"{number}.png"), image)
    (data / "test" / "notes.txt").write_text("no image")


def call(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.chdir(folder)
    assert main(arguments) == 0


def test_init_proposes_it_and_submit_scores_by_the_test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paint_classes(tmp_path / "data")
    call(tmp_path, monkeypatch, "init", "work", "--data", "data")
    written = (tmp_path / "work/competition.yaml").read_text()
    assert "leaderboard:\n  use: answers\n  folder: test\n" in written
    work = tmp_path / "work"
    call(work, monkeypatch, "new", "exp001")
    tiny = ["model={use: cnn, widths: [8]}", "image.size=16", "split.folds=2", "train={epochs: 1, threads: 1}", "augment=[]"]
    call(work, monkeypatch, "run", "exp001", *[word for value in tiny for word in ("--set", value)])
    call(work, monkeypatch, "submit", "exp001")
    submission = pd.read_csv(work / "submissions/exp001/v001.csv")
    truth = [Path(name).parent.name for name in submission["id"]]
    record = json.loads((work / "submissions/exp001/v001.json").read_text())
    assert len(submission) == 9 and record["local"] == {"public": float((submission.iloc[:, 1] == truth).mean())}


@pytest.mark.parametrize(
    ("inside", "sample", "proposed"),
    [
        (["a", "b"], None, True),
        (["unknown"], None, False),
        (["a", "b"], "id,label\n0,a\n1,a\n", True),
        (["a", "b"], "id,a,b\n0,1,0\n1,1,0\n", True),
        (["a", "b"], "id,label\n0,0\n1,0\n", False),
    ],
)
def test_init_proposes_it_only_where_folders_are_classes_and_answers_are_labels(
    inside: list[str], sample: str | None, proposed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = tmp_path / "data"
    for part, names, count in (("train", ["a", "b"], 3), ("test", inside, 1)):
        for number, name in enumerate(names * count):
            (data / part / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(data / part / name / f"{number}.png"), np.full((8, 8, 3), 40 * number, np.uint8))
    if sample is not None:
        save(data / "sample_submission.csv", sample)
    call(tmp_path, monkeypatch, "init", "work", "--data", "data")
    assert ("use: answers" in (tmp_path / "work/competition.yaml").read_text()) == proposed


def test_it_scores_what_dataset_folder_reads(tmp_path: Path):
    paint_classes(tmp_path)
    tables = open_folder(tmp_path, test="test")
    rows = [f"{name},bright" for name in tables.test["id"]]
    assert answers(tables, folder="test")(submit(tmp_path, "id,label", rows)) == {"public": 1 / 3}
