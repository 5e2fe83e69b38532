"""The cut-off of a new class, by hand and against a grid with MAP@5 written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from comp.api import Metric, PluginError, Target, Task
from comp.judges import TargetJudge
from comp.plugins.post.new_class import new_class

TASK = Task((Target("Id", "multiclass", ("a", "b", "c", "new_whale"), ("Id",)),))


def map5(answers: np.ndarray, predictions: np.ndarray) -> float:
    total = 0.0
    for answer, row in zip(answers, predictions):
        ranked = sorted(range(len(row)), key=lambda place: -row[place])[:5]
        total += 1 / (ranked.index(answer) + 1) if answer in ranked else 0
    return total / len(answers)


def accuracy(answers: np.ndarray, predictions: np.ndarray) -> float:
    return float((predictions.argmax(axis=1) == answers).mean())


def test_by_hand():
    predictions = np.array([[0.7, 0.2, 0.1, 0.0], [0.4, 0.3, 0.3, 0.0], [0.2, 0.6, 0.2, 0.0], [0.45, 0.3, 0.25, 0.0]])
    rule = new_class(TASK, TargetJudge(Metric(accuracy)), name="new_whale")
    rule.fit(predictions, np.array([0, 3, 1, 3]))
    assert 0.45 < rule.cut < 0.6
    found = rule.apply(predictions)
    assert found.argmax(axis=1).tolist() == [0, 3, 1, 3] and np.allclose(found.sum(axis=1), 1)
    # Below the cut-off the order of the others stays.
    assert np.argsort(-found[0]).tolist()[0] == 0 and np.argsort(-found[0, :3]).tolist() == [0, 1, 2]
    again = new_class(TASK, TargetJudge(Metric(accuracy)), name="new_whale")
    again.load(rule.state())
    np.testing.assert_array_equal(again.apply(predictions), found)


def test_map5_is_as_good_as_on_a_fine_grid():
    random = np.random.default_rng(0)
    answers = random.integers(0, 4, 300)
    known = np.where(answers == 3, 0.3, 2.5)[:, None] * np.eye(4)[answers]
    predictions = softmax(known + random.normal(size=(300, 4)) * 0.7 - np.array([0, 0, 0, 9.0]), axis=1)
    rule = new_class(TASK, TargetJudge(Metric(map5)), name="new_whale")
    rule.fit(predictions, answers)

    def at(cut: float) -> float:
        changed = predictions.copy()
        changed[:, 3] = np.maximum(changed[:, 3], cut)
        return map5(answers, changed)

    assert map5(answers, rule.apply(predictions)) >= max(at(cut) for cut in np.linspace(0, 1, 201)) - 0.01
    assert map5(answers, rule.apply(predictions)) > map5(answers, predictions) + 0.1


def test_where_it_helps_nobody_the_cut_off_is_zero():
    predictions = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.8, 0.1, 0.0]])
    rule = new_class(TASK, TargetJudge(Metric(map5)), name="new_whale")
    rule.fit(predictions, np.array([0, 1]))
    assert rule.cut == 0.0
    np.testing.assert_allclose(rule.apply(predictions), predictions)


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(PluginError, match="'Id' .multiclass. has no class 'new'"):
        new_class(TASK, TargetJudge(Metric(map5)), name="new")
