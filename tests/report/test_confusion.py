from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from comp.api import Target, Task
from comp.predictions import Predictions
from comp.report.answered import Answered, join_truth
from comp.report.classes import report_classes
from comp.report.confusion import Confusion, count_confusions
from comp.report.html import describe_confusion

ANIMAL = Target("animal", "multiclass", ("cat", "dog", "fox"), ("animal",))
FLAGS = Target("flags", "multilabel", ("a", "b"), ("a", "b"))


@pytest.fixture
def oof():
    """Six units; the predicted classes are cat, dog, dog, fox, cat, cat."""
    task = Task((FLAGS, ANIMAL))
    predicted = [0, 1, 1, 2, 0, 0]
    values = np.hstack([np.full((6, 2), 0.5), np.eye(3)[predicted] * 0.6 + 0.1])
    return Predictions(task, np.array(list("uvwxyz"), dtype=object), values, np.zeros(6, dtype=np.int64))


def count(oof: Predictions, ids: list[str], targets: dict[str, np.ndarray]) -> list[Confusion]:
    return count_confusions(join_truth(oof, ids, targets))


def test_pairs_are_counted_by_id_not_by_place(oof):
    # Truth in another order, with a unit that was never held out and one (z) whose truth is not known.
    ids = ["y", "never", "x", "w", "v", "u"]
    truth = {"animal": np.array([1, 2, 2, 0, 1, 0]), "flags": np.zeros((6, 2))}
    [found] = count(oof, ids, truth)
    # u cat→cat, v dog→dog, w cat→dog, x fox→fox, y dog→cat
    assert found.target.name == "animal"
    assert found.matrix().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (found.support.tolist(), found.given.tolist(), found.hits.tolist()) == ([2, 2, 1], [2, 2, 1], [1, 1, 1])


def test_the_commonest_mistakes_come_first(oof):
    [found] = count(oof, list("uvwxyz"), {"animal": np.array([1, 0, 0, 2, 1, 1])})
    # u, y, z dog→cat; v, w cat→dog
    assert found.confused_pairs(5) == [("dog", "cat", 3), ("cat", "dog", 2)]
    assert found.confused_pairs(1) == [("dog", "cat", 3)]
    assert [found.mostly_taken_for(i) for i in range(3)] == ["dog (2)", "cat (3)", ""]


def test_a_class_without_units_or_answers_counts_nothing(oof):
    [found] = count(oof, list("uvwxyz"), {"animal": np.array([0, 0, 0, 0, 0, 0])})
    assert (found.support.tolist(), found.given.tolist(), found.hits.tolist()) == ([6, 0, 0], [3, 2, 1], [3, 0, 0])


def test_many_classes_take_little_memory():
    classes = tuple(map(str, range(15_501)))
    truth, predicted = np.array([7, 7, 15_500]), [15_500, 7, 15_500]
    values = np.zeros((3, len(classes)), np.float32)
    values[np.arange(3), predicted] = 1
    answers = [Answered(Target("animal", "multiclass", classes, ("animal",)), np.array(list("abc")), values, truth)]
    tracemalloc.start()
    [found] = count_confusions(answers)
    [report], shown = report_classes(answers, [found]), describe_confusion(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6, "a matrix of all pairs has 1.9 GB"
    assert shown["pairs"] == [("7", "15500", 1)] and shown["matrix"] is None
    assert (report.support[[7, 15_500]].tolist(), report.given[[7, 15_500]].tolist()) == ([2, 1], [1, 2])
    assert report.hits.sum() == 2 and found.mostly_taken_for(7) == "15500 (1)" and found.mostly_taken_for(15_500) == ""
