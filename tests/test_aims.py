"""What `comp init` makes of a competition's columns: which is to be predicted, and what kind of task that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.handed_out import Competition, asked


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


def test_labels(competition):
    competition.train(label=["cat", "dog", "owl"] * 4)
    competition.sample(label="cat")
    report, found = competition.init()
    assert found["dataset"] == {
        "use": "csv", "data": str(competition.root), "train": "train.csv", "sample": "sample_submission.csv", "id": "image_id",
        "images": "train_images", "test_images": "test_images", "target": "label",
    }  # fmt: skip
    assert found["task"] == {
        "kind": "multiclass",
        "classes": 3,
        "rows": 12,
        "test_rows": 4,
        "image_px": 20,
        "channels": 3,
        "flip": True,
    }
    assert found["submission"] == {"use": "labels"} and found["metric"] == {"use": "accuracy"}
    assert asked(report) == {"metric.use"}
    assert all(note.why for note in report.conclusions)


def test_one_hot_columns(competition):
    competition.train(scab=[0, 1, 1] * 4, rust=[1, 1, 0] * 4, PatientID=list("aabbccddeeff"))
    competition.sample(scab=0.5, rust=0.5)
    report, found = competition.init()
    assert found["dataset"]["target"] == ["scab", "rust"] and found["task"]["kind"] == "multilabel"
    assert (
        found["split"]["use"] == "multilabel"
        and found["submission"] == {"use": "multilabel"}
        and found["metric"] == {"use": "auc"}
    )
    assert "task.kind" not in asked(report) and "split.group" in asked(report)


def test_one_hot_columns_that_exclude_each_other_are_classes(competition):
    competition.train(healthy=[1, 0] * 6, rust=[0, 1] * 6)
    competition.sample(healthy=0.5, rust=0.5)
    report, found = competition.init()
    assert found["dataset"]["one_hot"] == "class" and found["task"]["kind"] == "multiclass"
    assert found["submission"] == {"use": "probabilities"} and "dataset.one_hot" in asked(report)


def test_sets_of_labels(competition):
    competition.train(labels=["scab", "rust", "scab rust", "healthy"] * 3)
    competition.sample(labels="healthy")
    report, found = competition.init()
    assert found["dataset"]["separator"] == " " and found["task"]["kind"] == "multilabel" and found["task"]["classes"] == 3
    assert found["submission"] == {"use": "multilabel"} and "dataset.separator" not in asked(report)


def test_class_names_with_spaces_are_no_sets(competition):
    competition.train(species=["Sugar beet", "Common wheat", "Maize"] * 4)
    competition.sample(species="Sugar beet")
    _, found = competition.init()
    assert "separator" not in found["dataset"] and found["task"]["classes"] == 3


def test_a_number(competition):
    competition.train(id="Id", Pawpularity=list(range(30, 42)))
    competition.sample(id="Id", Pawpularity=42.57)
    report, found = competition.init()
    assert found["task"]["kind"] == "regression" and "classes" not in found["task"]
    assert found["metric"] == {"use": "rmse"} and "task.kind" in asked(report)


def test_grades_have_an_order(competition):
    competition.train(id="id_code", diagnosis=[0, 1, 2, 3] * 3)
    competition.sample(id="id_code", diagnosis=0)
    report, found = competition.init()
    assert found["task"]["kind"] == "ordinal" and "multiclass" in report.questions[0].question
    assert found["metric"] == {"use": "qwk"}


def test_several_targets(competition):
    competition.train(
        label=["Greek_character01", "Greek_character02", "Tagalog_character01"] * 4,
        alphabet=["Greek", "Greek", "Tagalog"] * 4,
        drawer=list("abcdef") * 2,
    )
    competition.sample(label="Greek_character01", alphabet="Greek")
    report, found = competition.init()
    assert found["task"]["kind"] == "multitarget" and found["task"]["targets"] == {"label": "multiclass", "alphabet": "binary"}
    assert found["task"]["flip"] is False and "split.group" in asked(report)


def test_headers_that_differ_are_asked_about(competition):
    competition.train(category_id=["7", "19", "7"] * 4, location=list("ab") * 6)
    competition.sample(id="Id", Predicted="7")
    report, found = competition.init()
    assert (found["dataset"]["id"], found["dataset"]["target"]) == ("image_id", "category_id")
    assert "dataset.id" in asked(report) and "dataset.target" not in asked(report)  # 7 is a category, and no location
