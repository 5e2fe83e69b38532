"""Cut-points, against every pair of cuts and scikit-learn's kappa."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import cohen_kappa_score

from comp.api import Metric, PluginError, Target, Task
from comp.judges import TargetJudge
from comp.plugins.post.cutpoints import cutpoints

NUMBER = Task((Target("grade", "regression", (), ("grade",)),))
ORDINAL = Task((Target("grade", "ordinal", ("0", "1", "2"), ("grade",)),))


def kappa(answers: np.ndarray, grades: np.ndarray) -> float:
    return cohen_kappa_score(answers.astype(int), grades.astype(int), weights="quadratic", labels=range(3))


QWK = Metric(lambda answers, predictions: kappa(answers, np.clip(np.rint(predictions), 0, 2)))
QWK_CLASSES = Metric(lambda answers, predictions: kappa(answers, predictions.argmax(axis=1)))


def draw(rows: int = 300):
    random = np.random.default_rng(0)
    answers = random.choice(3, size=rows, p=[0.6, 0.3, 0.1]).astype(np.float32)
    # A regression shrinks towards the mean: its grades are too near to each other.
    return 0.5 + 0.4 * (answers - 0.5) + random.normal(0, 0.25, rows), answers


def best_kappa(values: np.ndarray, answers: np.ndarray) -> float:
    grid = np.quantile(values, np.linspace(0, 1, 30))
    return max(kappa(answers, np.searchsorted(pair, values, side="right")) for pair in itertools.combinations(grid, 2))


def test_a_number_is_cut_as_well_as_by_any_pair_of_cuts():
    values, answers = draw()
    rule = cutpoints(NUMBER, TargetJudge(QWK))
    rule.fit(values, answers)
    found = rule.apply(values)
    assert set(found) <= {0.0, 1.0, 2.0} and kappa(answers, found) >= best_kappa(values, answers) - 0.005
    assert kappa(answers, found) > kappa(answers, np.clip(np.rint(values), 0, 2)) + 0.05
    assert list(rule.cuts) == sorted(rule.cuts) and rule.state()["grades"] == [0.0, 1.0, 2.0]


def test_classes_in_order_go_by_their_expected_value():
    random = np.random.default_rng(1)
    _, answers = draw()
    predictions = softmax(1.5 * np.eye(3)[answers.astype(int)] + random.normal(size=(300, 3)), axis=1)
    rule = cutpoints(ORDINAL, TargetJudge(QWK_CLASSES))
    rule.fit(predictions, answers.astype(np.int64))
    found = rule.apply(predictions)
    assert np.isin(found, [0, 1]).all() and (found.sum(axis=1) == 1).all()
    values = predictions @ np.arange(3)
    assert kappa(answers, found.argmax(axis=1)) >= best_kappa(values, answers) - 0.005


def test_by_hand():
    rule = cutpoints(NUMBER, TargetJudge(QWK))
    rule.load({"grades": [0, 1, 2], "cuts": [0.4, 1.1]})
    assert rule.apply(np.array([0.39, 0.4, 1.0, 1.1, 7.0, -1.0])).tolist() == [0, 1, 1, 2, 2, 0]


def test_grades_that_are_not_counted_from_zero():
    rule = cutpoints(NUMBER, TargetJudge(Metric(lambda answers, predictions: -float(np.abs(answers - predictions).mean()))))
    answers = np.repeat([10.0, 20.0, 40.0], 20)
    rule.fit(answers * 0.5 + np.tile([-1.0, 1.0], 30), answers)
    assert rule.apply(np.array([5.0, 10.0, 20.0])).tolist() == [10, 20, 40]


def test_one_grade_alone_is_borne():
    rule = cutpoints(NUMBER, TargetJudge(Metric(lambda answers, predictions: 0.0)))
    rule.fit(np.array([0.1, 0.2]), np.array([1.0, 1.0]))
    assert rule.apply(np.array([5.0])).tolist() == [1.0]


def test_what_has_no_grades_is_refused():
    rule = cutpoints(NUMBER, TargetJudge(QWK))
    with pytest.raises(PluginError, match="has 200 different values"):
        rule.fit(np.arange(200.0), np.arange(200.0))
    with pytest.raises(PluginError, match="use thresholds"):
        cutpoints(Task((Target("tags", "multilabel", ("x",), ("x",)),)), TargetJudge(QWK))
