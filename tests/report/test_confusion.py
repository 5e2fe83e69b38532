from __future__ import annotations

import numpy as np
import pytest

from comp.api import Target, Task
from comp.predictions import Predictions, write_predictions
from comp.report.confusion import count_confusions

ANIMAL = Target("animal", "multiclass", ("cat", "dog", "fox"), ("animal",))
FLAGS = Target("flags", "multilabel", ("a", "b"), ("a", "b"))


@pytest.fixture
def oof(tmp_path):
    """Six units; the predicted classes are cat, dog, dog, fox, cat, cat."""
    task = Task((FLAGS, ANIMAL))
    predicted = [0, 1, 1, 2, 0, 0]
    values = np.hstack([np.full((6, 2), 0.5), np.eye(3)[predicted] * 0.6 + 0.1])
    path = tmp_path / "oof.parquet"
    write_predictions(path, Predictions(task, np.array(list("uvwxyz"), dtype=object), values, np.zeros(6, dtype=np.int64)))
    return path


def test_pairs_are_counted_by_id_not_by_place(oof):
    # Truth in another order, with a unit that was never held out and one (z) whose truth is not known.
    ids = ["y", "never", "x", "w", "v", "u"]
    truth = {"animal": np.array([1, 2, 2, 0, 1, 0]), "flags": np.zeros((6, 2))}
    [found] = count_confusions(oof, ids, truth)
    # u cat→cat, v dog→dog, w cat→dog, x fox→fox, y dog→cat
    assert found.target.name == "animal"
    assert found.counts.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.support.tolist() == [2, 2, 1]
    assert found.recall.tolist() == [0.5, 0.5, 1.0] and found.precision.tolist() == [0.5, 0.5, 1.0]


def test_the_commonest_mistakes_come_first(oof):
    [found] = count_confusions(oof, list("uvwxyz"), {"animal": np.array([1, 0, 0, 2, 1, 1])})
    # u, y, z dog→cat; v, w cat→dog
    assert found.confused_pairs(5) == [("dog", "cat", 3), ("cat", "dog", 2)]
    assert found.confused_pairs(1) == [("dog", "cat", 3)]
    assert [found.mostly_taken_for(i) for i in range(3)] == ["dog (2)", "cat (3)", ""]


def test_a_class_without_units_or_answers_has_no_share(oof):
    [found] = count_confusions(oof, list("uvwxyz"), {"animal": np.array([0, 0, 0, 0, 0, 0])})
    assert np.isnan(found.recall[1:]).all() and found.recall[0] == 0.5
    assert found.precision.tolist() == [1.0, 0.0, 0.0]
