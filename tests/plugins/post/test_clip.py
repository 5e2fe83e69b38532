"""Clipping, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.post.clip import clip

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))


def test_values_are_kept_within_bounds():
    np.testing.assert_array_equal(clip(NUMBER, low=0, high=100).apply(np.array([-3.0, 50.0, 120.0])), [0, 50, 100])
    np.testing.assert_array_equal(clip(NUMBER, low=0).apply(np.array([-3.0, 1e9])), [0, 1e9])


def test_probabilities_of_classes_are_divided_by_their_sum():
    found = clip(TASK, low=0.1).apply(np.array([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[1 / 1.2, 0.1 / 1.2, 0.1 / 1.2]])
    np.testing.assert_array_equal(clip(TAGS, low=0.02, high=0.98).apply(np.array([[1.0, 0.0]])), [[0.98, 0.02]])


def test_there_is_nothing_to_remember():
    rule = clip(NUMBER, high=1)
    rule.fit(np.zeros(2), np.zeros(2))
    assert rule.state() == {} and rule.load({}) is None


@pytest.mark.parametrize(
    ("task", "bounds"),
    [
        (NUMBER, {}),
        (NUMBER, {"low": 2, "high": 2}),
        (TASK, {"low": -0.1}),
        (TASK, {"high": 1.5}),
        (TASK, {"high": 0.0}),
        (TAGS, {"low": 1.0}),
    ],
)
def test_what_is_out_of_range_is_refused(task, bounds):
    with pytest.raises(PluginError, match="post clip"):
        clip(task, **bounds)
