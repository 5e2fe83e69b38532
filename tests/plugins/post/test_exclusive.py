"""A label that stands alone, by hand and against sets put right one by one."""

from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.post.exclusive import exclusive

TASK = Task((Target("labels", "multilabel", ("healthy", "rust", "scab"), ("labels",), " "),))


def test_by_hand():
    both = [[0.9, 0.6, 0.2], [0.6, 0.9, 0.7], [0.5, 0.5, 1.0], [1, 1, 1]]
    rows = np.array([*both, [0.3, 0.8, 0.9], [0.8, 0.4, 0.1], [0.2, 0.3, 0.1]])
    found = exclusive(TASK, name="healthy").apply(rows)
    low = 0.49
    expected = [
        [0.9, 0.6 * low, 0.2 * low],  # healthy is likelier
        [0.6 * low, 0.9, 0.7],  # rust is
        [0.5 * low, 0.5, 1.0],
        [1, low, low],  # of equals healthy stays
        [0.3, 0.8, 0.9],  # not healthy
        [0.8, 0.4, 0.1],  # nothing else
        [0.2, 0.3, 0.1],  # nothing at all
    ]
    np.testing.assert_allclose(found, expected)


def test_never_both_and_never_less_than_before():
    rows = np.random.default_rng(0).uniform(size=(500, 3))
    found = exclusive(TASK, name="scab").apply(rows)
    before, after = rows >= 0.5, found >= 0.5
    assert (before[:, 2] & before[:, :2].any(axis=1)).sum() > 100 and not (after[:, 2] & after[:, :2].any(axis=1)).any()
    assert (after.any(axis=1) == before.any(axis=1)).all() and not (after & ~before).any()
    assert (found.argmax(axis=1) == rows.argmax(axis=1)).all()


def test_a_label_that_is_not_there_is_refused():
    with pytest.raises(PluginError, match="'labels' .multilabel. has no label 'sound'"):
        exclusive(TASK, name="sound")
    with pytest.raises(PluginError, match=r"'y' .multiclass. has no label 'a' in sets"):
        exclusive(Task((Target("y", "multiclass", ("a", "b"), ("y",)),)), name="a")
