"""Each form writes what the sample's columns ask for, and refuses a sample that it does not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import SubmissionError, Target, Task
from comp.plugins.submission.labels import labels
from comp.plugins.submission.multilabel import multilabel
from comp.plugins.submission.probabilities import probabilities

ANIMAL = Target("animal", "multiclass", ("cat", "dog", "owl"), ("animal",))
GRADE = Target("grade", "binary", ("01", "10"), ("grade",))
WEIGHT = Target("weight", "regression", (), ("weight",))
MARKS = Task((Target("marks", "multilabel", ("x", "y", "z"), ("marks",), separator="|"),))
SAID = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])


def sample_of(*columns):
    return pd.DataFrame({column: pd.Series(["0"], dtype=str) for column in columns})


def test_labels_write_the_class_as_the_table_does():
    form = labels(Task((ANIMAL,)), sample_of("Id", "Predicted"))
    assert form(["a", "b"], SAID).to_dict("list") == {"Id": ["a", "b"], "Predicted": ["dog", "cat"]}
    assert form.rows_sum_to_one is False


def test_labels_of_several_targets_go_by_name_and_numbers_stay_numbers():
    task = Task((ANIMAL, GRADE, WEIGHT))
    said = np.array([[0.2, 0.5, 0.3, 0.4, 0.6, 2.5]])
    form = labels(task, sample_of("key", "weight", "grade", "animal"))
    assert form(["a"], said).to_dict("list") == {"key": ["a"], "weight": [2.5], "grade": ["10"], "animal": ["dog"]}
    assert labels(task, None)(["a"], said).to_dict("list") == {"id": ["a"], "animal": ["dog"], "grade": ["10"], "weight": [2.5]}


def test_labels_take_columns_of_another_name_where_told():
    task = Task((ANIMAL, GRADE))
    with pytest.raises(SubmissionError, match="columns are species, grade; the targets are animal, grade.*submission.columns"):
        labels(task, sample_of("key", "species", "grade"))
    form = labels(task, sample_of("key", "species", "grade"), columns={"animal": "species"})
    assert form(["a"], np.array([[0, 0, 1, 1, 0]])).to_dict("list") == {"key": ["a"], "species": ["owl"], "grade": ["01"]}
    with pytest.raises(SubmissionError, match="submission.columns"):
        labels(task, sample_of("key", "species", "grade"), columns={"animl": "species"})


def test_labels_write_numbers_or_what_they_are_told():
    sample = sample_of("", "answer value")
    assert labels(Task((ANIMAL,)), sample, write="number")(["a", "b"], SAID)["answer value"].tolist() == ["1", "0"]
    told = labels(Task((ANIMAL,)), sample, write={"cat": 3, "dog": "D", "owl": 5})
    assert told(["a", "b"], SAID).to_dict("list") == {"": ["a", "b"], "answer value": ["D", "3"]}
    with pytest.raises(SubmissionError, match="submission.write says nothing of 'owl' of 'animal'"):
        labels(Task((ANIMAL,)), sample, write={"cat": 3, "dog": 4})


def test_labels_refuse_sets():
    with pytest.raises(SubmissionError, match="'marks' is a set of labels: use multilabel"):
        labels(MARKS, None)


@pytest.mark.parametrize("prefix", ["", "animal_", "p", "animal=", "class "])
def test_probabilities_find_the_classes_under_any_prefix_in_any_order(prefix):
    columns = [f"{prefix}{name}" for name in ("owl", "cat", "dog")]
    form = probabilities(Task((ANIMAL,)), sample_of("Id", *columns))
    frame = form(["a", "b"], SAID)
    assert list(frame.columns) == ["Id", *columns]
    np.testing.assert_array_equal(frame[columns].to_numpy(), SAID[:, [2, 0, 1]])
    assert form.rows_sum_to_one is True
    assert probabilities(Task((ANIMAL,)), sample_of("Id", *columns), rows_sum_to_one=False).rows_sum_to_one is False


def test_classes_that_end_alike_are_told_apart():
    task = Task((Target("n", "multiclass", ("1", "11", "21"), ("n",)),))
    frame = probabilities(task, sample_of("Id", "c11", "c21", "c1"))(["a"], np.array([[0.1, 0.2, 0.7]]))
    assert frame.to_dict("list") == {"Id": ["a"], "c11": [0.2], "c21": [0.7], "c1": [0.1]}


def test_two_classes_have_two_columns_and_one_is_for_probability():
    task, said = Task((GRADE,)), np.array([[0.3, 0.7]])
    two = probabilities(task, sample_of("Id", "10", "01"))
    assert two(["a"], said).to_dict("list") == {"Id": ["a"], "10": [0.7], "01": [0.3]} and two.rows_sum_to_one is True
    assert list(probabilities(task, None)(["a"], said).columns) == ["id", "01", "10"]
    with pytest.raises(SubmissionError, match="one column, target, for the 2 classes of 'grade': use probability"):
        probabilities(task, sample_of("Id", "target"))
    with pytest.raises(SubmissionError, match="submission.positive .* use probability"):
        probabilities(task, None, positive="01")


def test_a_positive_class_among_several_targets():
    task, said = Task((GRADE, WEIGHT)), np.array([[0.3, 0.7, 2.0]])
    assert probabilities(task, sample_of("Id", "grade", "weight"))(["a"], said)["grade"].tolist() == [0.7]
    with pytest.raises(SubmissionError, match=r"'yes' is no class of 'grade' \(01, 10\)"):
        probabilities(task, None, positive="yes")


def test_a_number_is_written_as_its_value():
    form = probabilities(Task((WEIGHT,)), sample_of("Id", "Pawpularity"))
    assert form(["a"], np.array([[38.5]])).to_dict("list") == {"Id": ["a"], "Pawpularity": [38.5]}
    assert form.rows_sum_to_one is False


def test_probabilities_of_several_targets():
    task = Task((ANIMAL, GRADE, WEIGHT))
    said = np.array([[0.2, 0.5, 0.3, 0.4, 0.6, 2.5]])
    sample = sample_of("Id", "grade", "animal_dog", "animal_owl", "animal_cat", "weight")
    form = probabilities(task, sample)
    assert form(["a"], said).iloc[0, 1:].tolist() == [0.6, 0.5, 0.3, 0.2, 2.5]
    assert form.rows_sum_to_one is False
    assert list(probabilities(task, None)(["a"], said).columns) == [
        "id",
        "animal=cat",
        "animal=dog",
        "animal=owl",
        "grade",
        "weight",
    ]


def test_probabilities_refuse_columns_that_are_not_the_classes():
    with pytest.raises(SubmissionError, match="columns cat, dog, pig do not go with the outputs cat, dog, owl"):
        probabilities(Task((ANIMAL,)), sample_of("Id", "cat", "dog", "pig"))
    with pytest.raises(SubmissionError, match="do not go with"):
        probabilities(Task((ANIMAL,)), sample_of("Id", "cat", "dog"))
    with pytest.raises(SubmissionError, match="use multilabel"):
        probabilities(MARKS, None)


LABELS_SAID = np.array([[0.9, 0.1, 0.5], [0.2, 0.4, 0.3]])


def test_multilabel_writes_a_probability_per_label():
    form = multilabel(MARKS, sample_of("Id", "label_z", "label_x", "label_y"))
    frame = form(["a", "b"], LABELS_SAID)
    assert frame.to_dict("list") == {"Id": ["a", "b"], "label_z": [0.5, 0.3], "label_x": [0.9, 0.2], "label_y": [0.1, 0.4]}
    assert form.rows_sum_to_one is False


def test_multilabel_writes_sets_with_threshold_separator_and_a_rule_for_empty_ones():
    sample = sample_of("Id", "attribute_ids")
    assert multilabel(MARKS, sample)(["a", "b"], LABELS_SAID).to_dict("list") == {"Id": ["a", "b"], "attribute_ids": ["x|z", "y"]}
    spaced = multilabel(MARKS, sample, separator=" ", threshold=0.3, empty="none")(["a", "b"], LABELS_SAID)
    assert spaced["attribute_ids"].tolist() == ["x z", "y z"]
    assert multilabel(MARKS, sample, empty="none")(["a", "b"], LABELS_SAID)["attribute_ids"].tolist() == ["x|z", "none"]
    assert multilabel(MARKS, sample, empty="")(["a", "b"], LABELS_SAID)["attribute_ids"].tolist() == ["x|z", ""]


def test_multilabel_without_a_sample_follows_the_training_table():
    assert list(multilabel(MARKS, None)(["a"], LABELS_SAID[:1]).columns) == ["id", "marks"]
    one_hot = Task((Target("marks", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
    assert list(multilabel(one_hot, None)(["a"], LABELS_SAID[:1]).columns) == ["id", "x", "y", "z"]
    assert multilabel(one_hot, None, form="set")(["a"], LABELS_SAID[:1])["marks"].tolist() == ["x z"]


def test_multilabel_refuses_what_does_not_fit():
    with pytest.raises(SubmissionError, match="the task is multiclass"):
        multilabel(Task((ANIMAL,)), None)
    with pytest.raises(SubmissionError, match=r"3 columns \(x, y, w\) are not the 3 labels \(x, y, z\)"):
        multilabel(MARKS, sample_of("Id", "x", "y", "w"))
    with pytest.raises(SubmissionError, match="a set is one column; the sample has 3"):
        multilabel(MARKS, sample_of("Id", "x", "y", "z"), form="set")
