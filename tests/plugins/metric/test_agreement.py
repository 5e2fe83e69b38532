"""balanced_accuracy, mcc, exact_match, qwk, mae and r2."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from comp.api import MetricUndefined, PluginError, Target, Task
from comp.plugins.metric.balanced_accuracy import balanced_accuracy
from comp.plugins.metric.exact_match import exact_match
from comp.plugins.metric.mae import mae
from comp.plugins.metric.mcc import mcc
from comp.plugins.metric.qwk import qwk
from comp.plugins.metric.r2 import r2

RNG = np.random.default_rng(0)
FOUR = Task((Target("label", "ordinal", tuple("0123"), ("label",)),))
TWO = Task((Target("label", "binary", ("no", "yes"), ("label",)),))
MARKS = Task((Target("marks", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
VALUE = Task((Target("value", "regression", (), ("value",)),))
ANSWERS, SAID = RNG.integers(0, 4, 300), RNG.dirichlet([1, 1, 1, 1], 300)


def say(classes, width=4):
    return np.eye(width)[classes]


def test_balanced_accuracy():
    # Recall 1 of 2 and 1 of 1; two classes are not there.
    assert balanced_accuracy(FOUR).compute(np.array([0, 0, 2]), say([0, 1, 2])) == 0.75
    found = balanced_accuracy(FOUR).per_class(np.array([0, 0, 2]), say([0, 1, 2]))
    np.testing.assert_array_equal(found, [0.5, np.nan, 1, np.nan])
    wanted = sklearn_metrics.balanced_accuracy_score(ANSWERS, SAID.argmax(1))
    assert balanced_accuracy(FOUR).compute(ANSWERS, SAID) == pytest.approx(wanted)


def test_mcc():
    # 2 true positives, 1 true negative, 1 false positive: (2 * 1 - 0) / sqrt(3 * 2 * 2 * 1).
    assert mcc(TWO).compute(np.array([1, 1, 0, 0]), say([1, 1, 1, 0], 2)) == pytest.approx(2 / np.sqrt(12))
    assert mcc(FOUR).compute(ANSWERS, SAID) == pytest.approx(sklearn_metrics.matthews_corrcoef(ANSWERS, SAID.argmax(1)))
    assert mcc(FOUR).compute(ANSWERS, say(np.zeros(300, dtype=int))) == 0
    with pytest.raises(MetricUndefined, match="every scored unit is 'yes'"):
        mcc(TWO).compute(np.array([1, 1]), say([0, 1], 2))


def test_exact_match():
    answers = np.array([[1, 0, 1], [1, 0, 0]], dtype=np.float32)
    said = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5]])
    assert exact_match(MARKS).compute(answers, said) == 0.5
    np.testing.assert_array_equal(exact_match(MARKS).per_class(answers, said), [1, 1, 0.5])
    marked, probabilities = (RNG.random((200, 3)) < 0.4).astype(np.float32), RNG.random((200, 3))
    wanted = sklearn_metrics.accuracy_score(marked, probabilities >= 0.3)
    assert exact_match(MARKS, threshold=0.3).compute(marked, probabilities) == wanted


def test_qwk_of_classes():
    # Answers 0 0 3, said 0 3 3: apart 9 of 3 units, 3; by chance over 9 pairs 0 9 9 0 9 9 9 0 0 = 45 / 9: 1 - 3 / 5.
    assert qwk(FOUR).compute(np.array([0, 0, 3]), say([0, 3, 3])) == pytest.approx(1 - 3 / 5)
    wanted = sklearn_metrics.cohen_kappa_score(ANSWERS, SAID.argmax(1), weights="quadratic", labels=range(4))
    assert qwk(FOUR).compute(ANSWERS, SAID) == pytest.approx(wanted)
    # A grade that is absent keeps its distance.
    answers, said = RNG.choice([0, 1, 3], 50), RNG.choice([0, 1, 3], 50)
    wanted = sklearn_metrics.cohen_kappa_score(answers, said, weights="quadratic", labels=range(4))
    assert qwk(FOUR).compute(answers, say(said)) == pytest.approx(wanted)
    assert wanted != pytest.approx(sklearn_metrics.cohen_kappa_score(answers, said, weights="quadratic"))


def test_qwk_of_values_rounds_and_clips():
    answers, said = np.array([0.0, 0, 3, 4]), np.array([-2.0, 0.6, 3.4, 9.0])
    wanted = sklearn_metrics.cohen_kappa_score([0, 0, 3, 4], [0, 1, 3, 4], weights="quadratic", labels=range(5))
    assert qwk(VALUE).compute(answers, said) == pytest.approx(wanted)
    with pytest.raises(PluginError, match="holds 0.5: use rmse"):
        qwk(VALUE).compute(np.array([0.5, 1.0]), said[:2])


def test_qwk_of_one_grade_is_undefined():
    with pytest.raises(MetricUndefined, match="the same grade"):
        qwk(FOUR).compute(np.array([1, 1]), say([1, 1]))


def test_mae_and_r2():
    answers, said = np.array([1, 2, 3], dtype=np.float32), np.array([1.0, 4.0, 7.0])
    assert mae(VALUE).compute(answers, said) == 2
    assert r2(VALUE).compute(answers, said) == pytest.approx(1 - 20 / 2)
    answers, said = RNG.normal(size=50), RNG.normal(size=50)
    assert mae(VALUE).compute(answers, said) == pytest.approx(sklearn_metrics.mean_absolute_error(answers, said))
    assert r2(VALUE).compute(answers, said) == pytest.approx(sklearn_metrics.r2_score(answers, said))
    assert not mae(VALUE).greater_is_better and r2(VALUE).greater_is_better
    with pytest.raises(MetricUndefined, match="all 2 answers are 3"):
        r2(VALUE).compute(np.array([3.0, 3.0]), said[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: balanced_accuracy(MARKS), "'marks' is a set of labels: use exact_match or macro_f1"),
        (lambda: balanced_accuracy(VALUE), "'value' is a number: use rmse"),
        (lambda: mcc(MARKS), "'marks' is a set of labels: use macro_f1"),
        (lambda: exact_match(FOUR), "exact_match wants sets of labels; 'label' is ordinal: use accuracy"),
        (lambda: exact_match(VALUE), "'value' is regression: use rmse"),
        (lambda: qwk(MARKS), "'marks' is a set of labels"),
        (lambda: mae(FOUR), "mae wants a number; 'label' has 4 classes"),
        (lambda: r2(TWO), "r2 wants a number; 'label' has 2 classes"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(PluginError, match=message):
        make()
