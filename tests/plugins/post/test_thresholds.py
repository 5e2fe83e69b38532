"""Thresholds, against every threshold there is and scikit-learn's F1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score

from comp.api import Metric, PluginError, Target, Task
from comp.judges import TargetJudge
from comp.plugins.metric.macro_f1 import macro_f1
from comp.plugins.post.thresholds import thresholds

TAGS = Task((Target("tags", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
CLASSES = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))


def micro_f1(answers: np.ndarray, predictions: np.ndarray) -> float:
    said, there = predictions >= 0.5, answers >= 0.5
    return 2 * (said & there).sum() / (said.sum() + there.sum())


MICRO = Metric(micro_f1)


def draw_labels(rows: int = 400):
    random = np.random.default_rng(0)
    answers = (random.random((rows, 3)) < [0.5, 0.2, 0.05]).astype(np.float32)
    return np.clip(0.25 * answers + random.random((rows, 3)) * [0.7, 0.5, 0.3], 0, 1), answers


def test_macro_f1_of_labels_is_nearly_the_best_there_is():
    predictions, answers = draw_labels()
    rule = thresholds(TAGS, TargetJudge(macro_f1(TAGS)))
    rule.fit(predictions, answers)
    found = f1_score(answers, rule.apply(predictions) >= 0.5, average=None)
    best = [max(f1_score(answers[:, k], predictions[:, k] >= cut) for cut in np.unique(predictions[:, k])) for k in range(3)]
    assert (found >= np.array(best) - 0.03).all()
    assert found.mean() > f1_score(answers, predictions >= 0.5, average="macro", zero_division=0) + 0.1


def test_a_metric_without_scores_by_class_is_climbed():
    predictions, answers = draw_labels()
    rule = thresholds(TAGS, TargetJudge(MICRO))
    rule.fit(predictions, answers)
    found = f1_score(answers, rule.apply(predictions) >= 0.5, average="micro")
    best = max(micro_f1(answers, predictions >= cuts) for cuts in itertools.product(np.linspace(0.1, 0.8, 15), repeat=3))
    assert found >= best - 0.01


def test_what_reaches_the_threshold_reaches_one_half():
    rule = thresholds(TAGS, TargetJudge(MICRO))
    rule.load({"thresholds": {"x": 0.3, "y": 0.5, "z": 0.9}})
    cuts = np.array([0.3, 0.5, 0.9])
    predictions = np.array([cuts, np.nextafter(cuts, 0), [0, 0, 0], [1, 1, 1]])
    found = rule.apply(predictions)
    assert (found[0] >= 0.5).all() and (found[1] < 0.5).all()
    assert found[2].tolist() == [0, 0, 0] and found[3].tolist() == [1, 1, 1]
    random = np.random.default_rng(0).random((500, 3))
    assert ((rule.apply(random) >= 0.5) == (random >= [0.3, 0.5, 0.9])).all()
    assert rule.state() == {"thresholds": {"x": 0.3, "y": 0.5, "z": 0.9}}


def test_classes_are_weighed_for_macro_f1():
    random = np.random.default_rng(1)
    answers = random.choice(3, size=600, p=[0.8, 0.15, 0.05])
    predictions = softmax(1.2 * np.eye(3)[answers] + random.normal(size=(600, 3)) + np.log([0.8, 0.15, 0.05]), axis=1)
    rule = thresholds(CLASSES, TargetJudge(macro_f1(CLASSES)))
    rule.fit(predictions, answers)
    found = f1_score(answers, rule.apply(predictions).argmax(axis=1), average="macro")
    grid = itertools.product(np.exp(np.linspace(-3, 3, 25)), repeat=2)
    best = max(f1_score(answers, (predictions * [1, *w]).argmax(axis=1), average="macro", zero_division=0) for w in grid)
    assert found >= best - 0.015
    np.testing.assert_allclose(rule.apply(predictions).sum(axis=1), 1)
    assert rule.found.mean() == pytest.approx(0.5)


def test_without_a_gain_nothing_moves():
    predictions, answers = np.eye(3)[[0, 1, 2, 0]] * 0.9 + 0.03, np.array([0, 1, 2, 0])
    rule = thresholds(CLASSES, TargetJudge(Metric(lambda a, p: accuracy_score(a, p.argmax(axis=1)))))
    rule.fit(predictions, answers)
    np.testing.assert_allclose(rule.apply(predictions), predictions / predictions.sum(axis=1, keepdims=True))


def test_numbers_and_negative_passes_are_refused():
    with pytest.raises(PluginError, match="'age' is a number: use cutpoints"):
        thresholds(Task((Target("age", "regression", (), ("age",)),)), TargetJudge(MICRO))
    with pytest.raises(PluginError, match="passes is -1"):
        thresholds(TAGS, TargetJudge(MICRO), passes=-1)
