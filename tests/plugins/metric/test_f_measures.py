"""f1, fbeta and probabilistic_f1."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from comp.api import MetricUndefined, PluginError, Target, Task
from comp.plugins.metric.f1 import f1
from comp.plugins.metric.fbeta import fbeta
from comp.plugins.metric.probabilistic_f1 import probabilistic_f1

RNG = np.random.default_rng(0)
FOUR = Task((Target("label", "multiclass", tuple("abcd"), ("label",)),))
TWO = Task((Target("label", "binary", ("no", "yes"), ("label",)),))
MARKS = Task((Target("marks", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
VALUE = Task((Target("value", "regression", (), ("value",)),))
ANSWERS, SAID = RNG.integers(0, 4, 300), RNG.dirichlet([1, 1, 1, 1], 300)
MARKED = (RNG.random((300, 3)) < [0.3, 0.5, 0.1]).astype(np.float32)
MARKS_SAID = np.clip(MARKED * 0.3 + RNG.random((300, 3)) * 0.7, 0, 1)


def test_by_hand():
    # 3 positives, 2 of them found, 1 said in vain: precision 2/3, recall 2/3; with beta 2 the same.
    answers, said = np.array([1, 1, 1, 0, 0]), np.eye(2)[[1, 1, 0, 1, 0]]
    assert f1(TWO, average="binary").compute(answers, said) == pytest.approx(2 / 3)
    assert f1(TWO, average="micro").compute(answers, said) == pytest.approx(3 / 5)
    assert f1(TWO, average="weighted").compute(answers, said) == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    # 2 of 3 found, none in vain: recall 2/3, precision 1: 5 * 2 / (5 * 2 + 4 * 1).
    assert fbeta(TWO, average="binary").compute(answers, np.eye(2)[[1, 1, 0, 0, 0]]) == pytest.approx(10 / 14)
    np.testing.assert_allclose(f1(TWO).per_class(answers, said), [1 / 2, 2 / 3])


@pytest.mark.parametrize("average", ["micro", "weighted"])
def test_classes_against_sklearn(average):
    wanted = sklearn_metrics.f1_score(ANSWERS, SAID.argmax(1), labels=range(4), average=average)
    assert f1(FOUR, average=average).compute(ANSWERS, SAID) == pytest.approx(wanted)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_fbeta_of_classes_against_sklearn(average):
    wanted = sklearn_metrics.fbeta_score(ANSWERS, SAID.argmax(1), beta=0.5, labels=range(4), average=average)
    assert fbeta(FOUR, beta=0.5, average=average).compute(ANSWERS, SAID) == pytest.approx(wanted)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
def test_label_sets_against_sklearn(average):
    for beta in (1.0, 2.0):
        wanted = sklearn_metrics.fbeta_score(MARKED, MARKS_SAID >= 0.4, beta=beta, average=average, zero_division=0)
        assert fbeta(MARKS, beta=beta, average=average, threshold=0.4).compute(MARKED, MARKS_SAID) == pytest.approx(wanted)
    wanted = sklearn_metrics.fbeta_score(MARKED, MARKS_SAID >= 0.5, beta=2, average=None)
    np.testing.assert_allclose(fbeta(MARKS).per_class(MARKED, MARKS_SAID), wanted)


@pytest.mark.parametrize("average", ["micro", "macro", "samples"])
def test_more_labels_than_a_byte_has_bits_and_more_rows_than_it_counts(average):
    names = tuple(map(str, range(19)))
    task, random = Task((Target("marks", "multilabel", names, names),)), np.random.default_rng(1)
    answers = (random.random((700, 19)) < random.random(19)).astype(np.float32)
    said = random.random((700, 19))
    wanted = sklearn_metrics.fbeta_score(answers, said >= 0.5, beta=2, average=average, zero_division=0)
    assert fbeta(task, beta=2.0, average=average).compute(answers, said) == pytest.approx(wanted)


def test_where_nothing_is_there_and_nothing_said():
    with pytest.raises(MetricUndefined, match="no scored unit has 'yes'"):
        f1(TWO, average="binary").compute(np.zeros(2, dtype=np.int64), np.eye(2)[[0, 0]])
    for average in ("micro", "weighted"):
        with pytest.raises(MetricUndefined, match="no scored unit has a label"):
            f1(MARKS, average=average).compute(np.zeros((2, 3)), np.zeros((2, 3)))


def score_as_kaggle(labels, predictions, beta):
    """The competition's own code (RSNA Screening Mammography, 2022)."""
    count = found = false = 0
    for label, prediction in zip(labels, predictions, strict=True):
        prediction = min(max(prediction, 0), 1)
        if label:
            count += 1
            found += prediction
        else:
            false += prediction
    precision, recall = found / (found + false), found / count
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall) if precision > 0 and recall > 0 else 0


def test_probabilistic_f1():
    # Found 0.8 of 1, 0.4 in vain: precision 2/3, recall 4/5.
    said = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert probabilistic_f1(TWO).compute(np.array([1, 0]), said) == pytest.approx(2 * (2 / 3) * 0.8 / (2 / 3 + 0.8))
    answers, said = ANSWERS % 2, np.column_stack([SAID[:, 0], SAID[:, 1] * 1.4 - 0.1])
    for beta in (1.0, 2.0):
        wanted = score_as_kaggle(answers, said[:, 1], beta)
        assert probabilistic_f1(TWO, beta=beta).compute(answers, said) == pytest.approx(wanted)
    assert probabilistic_f1(TWO).compute(np.array([1, 0]), np.array([[1.0, 0], [1, 0]])) == 0
    with pytest.raises(MetricUndefined, match="no scored unit is 'yes'"):
        probabilistic_f1(TWO).compute(np.array([0, 0]), said[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: f1(VALUE), "metric f1 wants classes; 'value' is a number"),
        (lambda: f1(FOUR, average="binary"), "binary is for two classes; 'label' is multiclass"),
        (lambda: f1(FOUR, average="samples"), "samples is for sets of labels"),
        (lambda: fbeta(MARKS, average="binary"), "binary is for two classes; 'marks' is multilabel"),
        (lambda: fbeta(MARKS, beta=0.0), "metric.beta is 0.0"),
        (lambda: probabilistic_f1(FOUR), "'label' has 4: use macro_f1"),
        (lambda: probabilistic_f1(TWO, beta=-1.0), "metric.beta is -1.0"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(PluginError, match=message):
        make()
