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
from comp.plugins.metric.probabilistic_f1 import probabilistic_f1
from comp.plugins.post.thresholds import bend, thresholds

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


def test_one_threshold_for_all_labels_is_the_best_there_is():
    predictions, answers = draw_labels()
    rule = thresholds(TAGS, TargetJudge(MICRO), shared=True)
    rule.fit(predictions, answers)
    assert len(set(rule.found)) == 1 and rule.state() == {"thresholds": dict.fromkeys("xyz", rule.found[0])}
    best = max(micro_f1(answers, predictions >= cut) for cut in np.linspace(0.01, 0.99, 99))
    assert micro_f1(answers, rule.apply(predictions)) >= best - 0.003
    assert best > micro_f1(answers, predictions) + 0.05
    with pytest.raises(PluginError, match="shared is for sets of labels; 'label' has one class a row"):
        thresholds(CLASSES, TargetJudge(MICRO), shared=True)


@pytest.mark.parametrize("decide", [False, True])
def test_rows_are_bent_in_blocks_as_all_at_once(decide, monkeypatch):
    predictions, _ = draw_labels(400)
    rule = thresholds(TAGS, TargetJudge(MICRO), decide=decide)
    rule.load({"thresholds": {"x": 0.3, "y": 0.5, "z": 0.9}})
    whole = rule.apply(predictions)
    cuts = np.array([0.3, 0.5, 0.9])
    bent = np.where(predictions < cuts, predictions / cuts / 2, 0.5 + (predictions - cuts) / (1 - cuts) / 2)
    np.testing.assert_allclose(whole, bent >= 0.5 if decide else bent)
    monkeypatch.setitem(type(rule)._weigh_into.__globals__, "BLOCK_CELLS", 21)
    assert np.array_equal(rule.apply(predictions), whole) and rule.apply(predictions[:0]).shape == (0, 3)


def test_a_shared_threshold_is_tried_once_in_the_same_memory():
    predictions, answers = draw_labels()
    seen, cuts = [], []

    def judge(answers, bent):
        seen.append(bent)
        cuts.append(int((bent >= 0.5).sum()))
        return micro_f1(answers, bent)

    rule = thresholds(TAGS, TargetJudge(Metric(judge)), shared=True)
    rule.fit(predictions, answers)
    assert len(seen) == 19 + 9 and len(set(map(id, seen[:19]))) == len(set(map(id, seen[19:]))) == 1
    assert cuts[0] == (predictions >= 0.5).sum() and len(set(cuts[1:19])) >= 10


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


def test_decided_answers_are_the_best_of_the_probabilistic_f1():
    task = Task((Target("cancer", "binary", ("0", "1"), ("cancer",)),))
    random = np.random.default_rng(2)
    answers = (random.random(800) < 0.05).astype(np.int64)
    positive = np.clip(0.08 + 0.15 * answers + 0.06 * random.normal(size=800), 0.001, 0.999)
    predictions = np.column_stack([1 - positive, positive])
    metric = probabilistic_f1(task).compute
    judge = TargetJudge(probabilistic_f1(task))
    rule = thresholds(task, judge, decide=True)
    rule.fit(predictions, answers)
    found = rule.apply(predictions)
    assert set(found.ravel()) == {0, 1} and (found.sum(axis=1) == 1).all()
    best = max(f1_score(answers, positive >= cut, zero_division=0) for cut in np.unique(positive))
    assert metric(answers, found) == pytest.approx(f1_score(answers, found[:, 1]))
    assert metric(answers, found) >= best - 0.05
    soft = thresholds(task, judge)
    soft.fit(predictions, answers)
    assert metric(answers, found) > metric(answers, soft.apply(predictions)) > metric(answers, predictions)


def test_decided_labels_are_set_from_the_threshold_on():
    rule = thresholds(TAGS, TargetJudge(MICRO), decide=True)
    rule.load({"thresholds": {"x": 0.3, "y": 0.5, "z": 0.9}})
    assert rule.apply(np.array([[0.3, 0.49, 1.0], [0.29, 0.5, 0.89]])).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_bending_is_two_straight_lines():
    random = np.random.default_rng(0)
    found = np.array([0.1, 0.5, 0.9, 1e-6])
    predictions = np.vstack([random.random((50, 4)), np.zeros(4), np.ones(4), found])
    wanted = np.where(predictions < found, 0.5 * predictions / found, 0.5 + 0.5 * (predictions - found) / (1 - found))
    np.testing.assert_array_equal(bend(predictions, found), wanted)
    many = np.vstack([predictions, np.full((1000, 4), 1e-7)])  # of which few reach their thresholds
    np.testing.assert_array_equal(bend(many, found)[: len(wanted)], wanted)
    assert (bend(predictions, found)[-3:] == [[0.0] * 4, [1.0] * 4, [0.5] * 4]).all()
