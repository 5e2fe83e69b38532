"""What is proposed of submission, metric and flip, from the sample and the names of the classes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from comp.api import Target, Task
from comp.forms import propose_form
from comp.notes import Notes, as_mapping
from tests.handed_out import Competition, asked


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


def test_columns_of_class_probabilities(competition):
    competition.train(name="labels.csv", id="id", breed=["pug", "collie", "whippet"] * 4)
    competition.sample(id="id", pug=1 / 3, collie=1 / 3, whippet=1 / 3)
    _, found = competition.init()
    assert found["dataset"]["target"] == "breed" and found["dataset"]["train"] == "labels.csv"
    assert found["submission"] == {"use": "probabilities"} and found["metric"] == {"use": "log_loss"}


def test_a_probability_of_one_class(competition):
    competition.train(id="id", has_cactus=[0, 1] * 6)
    competition.sample(id="id", has_cactus=0.5)
    _, found = competition.init()
    assert found["task"]["kind"] == "binary"
    assert found["submission"] == {"use": "probability"} and found["metric"] == {"use": "auc"}


def test_several_classes_a_row_are_the_likeliest(competition):
    competition.train(id="id", whale=["new_whale", "w_1", "w_2"] * 4)
    competition.sample(id="id", whale="new_whale w_1 w_2")
    report, found = competition.init()
    assert found["submission"] == {"use": "topk", "k": 3} and found["metric"] == {"use": "map_at_k", "k": 3}
    assert {"submission.use", "metric.use"} <= asked(report)


def test_one_probability_of_several_classes(competition):
    competition.train(id="id", lesion=["mel", "nv", "bcc"] * 4)
    competition.sample(id="id", mel=0.5)
    _, found = competition.init()
    assert found["submission"] == {"use": "probability"} and found["metric"] == {"use": "auc"}


def test_a_row_for_each_class_named_in_a_column(competition):
    competition.train(id="id", breed=["pug", "collie"] * 6)
    rows = [(name, breed, 0.5) for name in competition.test_ids for breed in ("pug", "collie")]
    pd.DataFrame(rows, columns=["id", "breed", "p"]).to_csv(competition.root / "sample_submission.csv", index=False)
    pd.DataFrame({"id": competition.test_ids}).to_csv(competition.root / "test.csv", index=False)
    _, found = competition.init()
    assert found["submission"] == {"use": "long"} and found["dataset"]["target"] == "breed"


def test_a_row_for_each_label_named_in_the_id():
    task = Task((Target("marks", "multilabel", ("any", "sub_any"), ("any", "sub_any")),))
    rows = [(f"{name}-{label}", "0.5") for name in "xyz" for label in task.target.classes]
    notes = Notes()
    propose_form(task, pd.DataFrame(rows, columns=["ID", "Label"], dtype=str), notes)
    found = as_mapping(notes.found)
    assert found["submission"] == {"use": "long", "separator": "-"} and found["metric"] == {"use": "auc"}


def test_zero_and_one_could_be_either(competition):
    competition.train(id="id", target=[0, 1] * 6)
    competition.sample(id="id", target=0)
    report, found = competition.init()
    assert found["submission"] == {"use": "probability"} and "submission.use" in asked(report)


@pytest.mark.parametrize(
    ("classes", "flip"),
    [
        ([str(i) for i in range(10)], False),
        (list("abcdefghijkl"), False),
        (["left_hand", "righthand"], False),
        (["turnLeft", "turnRight"], False),
        (["0", "1", "2", "3", "4"], True),
        (["bright", "cleft"], True),
    ],
)
def test_flip_by_class_names(tmp_path, classes, flip):
    competition = Competition(tmp_path, n=2 * len(classes))
    competition.train(kind=classes * 2)
    competition.sample(kind=classes[0])
    assert competition.init()[1]["task"]["flip"] is flip
