"""Each metric against a number worked by hand and against scikit-learn or a formula of its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from comp.api import MetricUndefined, PluginError, Target, Task
from comp.plugins.metric.accuracy import accuracy
from comp.plugins.metric.auc import auc
from comp.plugins.metric.log_loss import log_loss
from comp.plugins.metric.macro_f1 import macro_f1
from comp.plugins.metric.rmse import rmse

RNG = np.random.default_rng(0)


def classes(count: int) -> Task:
    return Task((Target("label", "binary" if count == 2 else "multiclass", tuple("abcdefgh"[:count]), ("label",)),))


MARKS = Task((Target("marks", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
VALUE = Task((Target("value", "regression", (), ("value",)),))
ANSWERS = RNG.integers(0, 4, 300)
SAID = RNG.dirichlet([1, 1, 1, 1], 300)
MARKED = (RNG.random((300, 3)) < [0.3, 0.5, 0.1]).astype(np.float32)
MARKS_SAID = np.clip(MARKED * 0.3 + RNG.random((300, 3)) * 0.7, 0, 1)


def one_hot(numbers, count):
    return np.eye(count)[numbers]


def test_accuracy():
    metric = accuracy(classes(3))
    said = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    assert metric.compute(np.array([0, 1, 2, 1]), said) == 3 / 4  # of equals the first is taken
    np.testing.assert_array_equal(metric.per_class(np.array([0, 1, 0, 1]), said), [0.5, 0.5, np.nan])
    assert accuracy(classes(4)).compute(ANSWERS, SAID) == sklearn_metrics.accuracy_score(ANSWERS, SAID.argmax(1))


def test_accuracy_of_label_sets_wants_the_whole_set():
    said = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5]])
    answers = np.array([[1, 0, 1], [1, 0, 0]], dtype=np.float32)
    assert accuracy(MARKS).compute(answers, said) == 0.5
    assert accuracy(MARKS, threshold=0.6).compute(answers, said) == 0.5
    np.testing.assert_array_equal(accuracy(MARKS).per_class(answers, said), [1, 1, 0.5])
    assert accuracy(MARKS).compute(MARKED, MARKS_SAID) == sklearn_metrics.accuracy_score(MARKED, MARKS_SAID >= 0.5)


def test_macro_f1_by_hand_and_against_sklearn_with_fixed_labels():
    # b is there twice and found once: F1 2/3; a: 3 of 3, one more said: 6/7; c is never there and never said: 0 of 3 classes.
    answers = np.array([0, 0, 0, 1, 1])
    said = one_hot([0, 0, 0, 0, 1], 3)
    assert macro_f1(classes(3)).compute(answers, said) == pytest.approx((6 / 7 + 2 / 3) / 3)
    assert macro_f1(classes(3), classes="present").compute(answers, said) == pytest.approx((6 / 7 + 2 / 3) / 2)
    np.testing.assert_allclose(macro_f1(classes(3)).per_class(answers, said), [6 / 7, 2 / 3, np.nan])
    wanted = sklearn_metrics.f1_score(ANSWERS, SAID.argmax(1), labels=range(4), average="macro")
    assert macro_f1(classes(4)).compute(ANSWERS, SAID) == pytest.approx(wanted)


@pytest.mark.parametrize("which", ["all", "present"])
def test_a_stray_prediction_of_an_absent_class_does_not_change_the_classes_of_the_mean(which):
    answers = np.array([0, 0, 1, 1])
    right, stray = one_hot([0, 0, 1, 0], 3), one_hot([0, 0, 1, 2], 3)
    metric = macro_f1(classes(3), classes=which)
    count = {"all": 3, "present": 2}[which]
    assert metric.compute(answers, right) == pytest.approx((4 / 5 + 2 / 3) / count)
    assert metric.compute(answers, stray) == pytest.approx((1 + 2 / 3) / count)


def test_macro_f1_of_label_sets():
    wanted = sklearn_metrics.f1_score(MARKED, MARKS_SAID >= 0.4, average="macro")
    assert macro_f1(MARKS, threshold=0.4).compute(MARKED, MARKS_SAID) == pytest.approx(wanted)
    with pytest.raises(MetricUndefined, match="marks"):
        macro_f1(MARKS, classes="present").compute(np.zeros((2, 3)), np.zeros((2, 3)))


def test_log_loss_divides_rows_by_their_sum_and_clips_as_kaggle_does():
    metric = log_loss(classes(2))
    assert not metric.greater_is_better
    assert metric.compute(np.array([0, 1]), np.array([[2.0, 2.0], [1.0, 3.0]])) == pytest.approx(
        -(np.log(0.5) + np.log(0.75)) / 2
    )
    # Wrong with certainty costs -log(1e-15) = 34.54, right with certainty nothing: 17.27 on average, whatever the dtype.
    for dtype in (np.float32, np.float64):
        assert metric.compute(np.array([0, 0]), np.array([[0, 1], [1, 0]], dtype=dtype)) == pytest.approx(17.2694, abs=1e-4)
    assert metric.compute(np.array([0]), np.array([[0.0, 0.0]])) == pytest.approx(-np.log(1e-15))


def test_log_loss_equals_sklearn_where_nothing_is_clipped():
    metric = log_loss(classes(4))
    assert metric.compute(ANSWERS, SAID) == pytest.approx(sklearn_metrics.log_loss(ANSWERS, SAID))
    assert metric.compute(ANSWERS, SAID * 3) == pytest.approx(sklearn_metrics.log_loss(ANSWERS, SAID))
    rows = -np.log(SAID[np.arange(300), ANSWERS])
    np.testing.assert_allclose(metric.per_class(ANSWERS, SAID), [rows[ANSWERS == number].mean() for number in range(4)])


def test_log_loss_of_label_sets_is_the_mean_over_columns():
    wanted = [sklearn_metrics.log_loss(MARKED[:, column], MARKS_SAID[:, column]) for column in range(3)]
    metric = log_loss(MARKS)
    assert metric.compute(MARKED, MARKS_SAID) == pytest.approx(np.mean(wanted), rel=1e-6)
    np.testing.assert_allclose(metric.per_class(MARKED, MARKS_SAID), wanted, rtol=1e-6)
    assert metric.compute(np.ones((1, 3)), np.zeros((1, 3))) == pytest.approx(-np.log(1e-15))


def test_binary_auc_counts_pairs_in_order_and_ties_by_half():
    # Positives .8 .5, negatives .5 .1: (.8>.5) + (.8>.1) + (.5=.5)/2 + (.5>.1) = 3.5 of 4 pairs.
    positive = np.array([0.8, 0.5, 0.5, 0.1])
    metric = auc(classes(2))
    assert metric.compute(np.array([1, 1, 0, 0]), np.column_stack([1 - positive, positive])) == 3.5 / 4
    assert metric.per_class is None
    answers, said = ANSWERS % 2, SAID[:, :2].round(1)
    assert metric.compute(answers, said) == pytest.approx(sklearn_metrics.roc_auc_score(answers, said[:, 1]))


def test_auc_of_several_columns_is_their_mean():
    wanted = [sklearn_metrics.roc_auc_score(MARKED[:, column], MARKS_SAID[:, column]) for column in range(3)]
    assert auc(MARKS).compute(MARKED, MARKS_SAID) == pytest.approx(np.mean(wanted))
    np.testing.assert_allclose(auc(MARKS).per_class(MARKED, MARKS_SAID), wanted)
    wanted = sklearn_metrics.roc_auc_score(ANSWERS, SAID, multi_class="ovr", average="macro")
    assert auc(classes(4)).compute(ANSWERS, SAID) == pytest.approx(wanted)


def test_auc_without_both_answers_is_undefined_and_names_the_column():
    answers = MARKED.copy()
    answers[:, 1] = 1
    with pytest.raises(MetricUndefined, match="column 'y' has only"):
        auc(MARKS).compute(answers, MARKS_SAID)
    assert np.isnan(auc(MARKS).per_class(answers, MARKS_SAID)).tolist() == [False, True, False]
    with pytest.raises(MetricUndefined, match="column 'b'"):
        auc(classes(2)).compute(np.zeros(3, dtype=np.int64), SAID[:3, :2])


def test_rmse():
    metric = rmse(VALUE)
    assert metric.compute(np.array([1, 2, 3], dtype=np.float32), np.array([1.0, 4.0, 7.0])) == pytest.approx(np.sqrt(20 / 3))
    answers, said = RNG.normal(size=50), RNG.normal(size=50)
    assert metric.compute(answers, said) == pytest.approx(sklearn_metrics.root_mean_squared_error(answers, said))
    assert not metric.greater_is_better


@pytest.mark.parametrize("metric", [accuracy, macro_f1, log_loss, auc])
def test_metrics_of_classes_refuse_numbers(metric):
    with pytest.raises(PluginError, match="'value' is a number: use rmse"):
        metric(VALUE)


def test_rmse_refuses_classes():
    with pytest.raises(PluginError, match="'label' has 3 classes"):
        rmse(classes(3))
