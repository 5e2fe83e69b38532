"""Classes against scikit-learn's own report."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import classification_report

from comp.api import Target, Task
from comp.predictions import Predictions
from comp.report.answered import join_truth
from comp.report.classes import average_rows, class_rows, report_classes
from comp.report.confusion import count_confusions

CLASSES = tuple("abcdef")


def report(target: Target, values: np.ndarray, truth: np.ndarray):
    ids = np.array([f"u{number}" for number in range(len(values))], dtype=object)
    answers = join_truth(Predictions(Task((target,)), ids, values), list(ids), {target.name: truth})
    confusions = count_confusions(answers)
    return report_classes(answers, confusions), confusions


def compare(found, wanted, target: Target) -> None:
    [one] = found
    for place in one.present:
        theirs = wanted[target.classes[place]]
        mine = np.nan_to_num([one.precision[place], one.recall[place], one.f1[place]])
        assert mine == pytest.approx([theirs["precision"], theirs["recall"], theirs["f1-score"]])
        assert one.support[place] == theirs["support"]
    names = {"macro average": "macro avg", "weighted average": "weighted avg", "micro average": "micro avg"}
    names["average over units"] = "samples avg"
    for name, *figures in one.average():
        if name == "accuracy":
            assert figures == [None, None, pytest.approx(wanted["accuracy"])]
        else:
            theirs = wanted[names[name]]
            assert figures == pytest.approx([theirs["precision"], theirs["recall"], theirs["f1-score"]])


def test_classes_are_scikit_learns() -> None:
    """`e` is never predicted, `f` never the truth, and neither that nor chance makes a row of averages undefined."""
    generator = np.random.default_rng(0)
    values = generator.random((200, 6)) * [1, 1, 1, 1, 0, 0.7]
    truth = generator.integers(0, 5, 200)
    values[np.arange(200), np.minimum(truth, 3)] += 0.3
    target = Target("label", "multiclass", CLASSES, ("label",))
    found, _ = report(target, values, truth)
    named = np.array(CLASSES)
    wanted = classification_report(named[truth], named[values.argmax(axis=1)], output_dict=True, zero_division=0)
    assert found[0].given[4] == 0 and found[0].support[5] == 0 and found[0].given[5] > 0
    assert np.isnan(found[0].precision[4]) and np.isnan(found[0].recall[5])
    compare(found, wanted, target)
    assert [CLASSES[place] for place in found[0].present] == [name for name in CLASSES if name in wanted]


def test_a_class_that_is_neither_true_nor_predicted_counts_in_no_average() -> None:
    target = Target("label", "multiclass", ("a", "b", "never"), ("label",))
    values = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.3, 0.7, 0.0]])
    [found], _ = report(target, values, np.array([0, 1, 1, 1]))
    # a: precision 1/2, recall 1; b: 1, 2/3. F1: 2/3 and 4/5.
    assert found.average()[0] == ("accuracy", None, None, 0.75)
    assert found.average()[1] == ("macro average", 0.75, pytest.approx(5 / 6), pytest.approx((2 / 3 + 4 / 5) / 2))
    assert found.average()[2][1:3] == (pytest.approx(0.25 * 0.5 + 0.75 * 1), pytest.approx(0.75))


def test_labels_are_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random((80, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.float32)
    values = np.clip(truth * 0.3 + generator.random((80, 4)) * 0.7, 0, 1)
    target = Target("labels", "multilabel", ("a", "b", "c", "d"), ("a", "b", "c", "d"))
    found, confusions = report(target, values, truth)
    wanted = classification_report(
        truth.astype(int), (values >= 0.5).astype(int), output_dict=True, zero_division=0, target_names=list(target.classes)
    )
    assert confusions == [] and [name for name, *_ in found[0].average()][0] == "micro average"
    compare(found, wanted, target)


def test_an_unlabelled_unit_counts_nowhere() -> None:
    target = Target("label", "multiclass", ("a", "b"), ("label",))
    [found], _ = report(target, np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, -1]))
    assert found.support.tolist() == [1, 1] and found.average()[0][3] == 1.0


def test_rows_come_worst_first_and_several_targets_are_named() -> None:
    first = Target("x", "multiclass", ("a", "b"), ("x",))
    second = Target("y", "binary", ("0", "1"), ("y",))
    ids = np.array(["u", "v", "w"], dtype=object)
    values = np.array([[0.9, 0.1, 0.2, 0.8], [0.8, 0.2, 0.3, 0.7], [0.1, 0.9, 0.6, 0.4]])
    truth = {"x": np.array([0, 1, 1]), "y": np.array([1, 1, 0])}
    answers = join_truth(Predictions(Task((first, second)), ids, values), list(ids), truth)
    confusions = count_confusions(answers)
    reports = report_classes(answers, confusions)
    rows = class_rows({}, reports, confusions)
    assert [(row["name"], row["recall"]) for row in rows] == [("x=b", 0.5), ("y=1", 1.0), ("x=a", 1.0), ("y=0", 1.0)]
    assert rows[0]["taken_for"] == "a (1)"
    averages = average_rows(reports)
    assert [row["name"] for row in averages][::3] == ["x: accuracy", "y: accuracy"]
    assert averages[0]["f1"] == pytest.approx(2 / 3) and averages[0]["units"] == 3
