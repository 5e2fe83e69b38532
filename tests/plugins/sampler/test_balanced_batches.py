from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.sampler.balanced_batches import balanced_batches

LABEL = Target("label", "multiclass", ("a", "b", "c", "d"), ("label",))
TAGS = Target("tags", "multilabel", ("x", "y"), ("tags",), " ")


def draw(labels: np.ndarray, batch_size: int, seed: int = 0) -> np.ndarray:
    rows = balanced_batches(Task((LABEL,)), {"label": labels}, batch_size)(np.random.default_rng(seed))
    assert rows.dtype == np.int64 and len(rows) == max(1, len(labels) // batch_size) * batch_size
    return rows.reshape(-1, batch_size)


def test_every_batch_has_every_class_equally_often() -> None:
    labels = np.repeat([0, 1, 3], [80, 15, 5])  # class 2 has no rows
    batches = draw(labels, 12)
    assert len(batches) == 8 and all(np.bincount(labels[rows], minlength=4).tolist() == [4, 4, 0, 4] for rows in batches)


def test_what_does_not_divide_is_shared_in_turn() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    batches = draw(labels, 10)
    counts = np.array([np.bincount(labels[rows], minlength=3) for rows in batches])
    assert (np.sort(counts, axis=1) == [3, 3, 4]).all() and np.ptp(counts.sum(axis=0)) <= 1


def test_more_classes_than_rows_take_turns() -> None:
    labels = np.repeat([0, 1, 2, 3], [10, 6, 4, 2])
    batches = draw(labels, 3)
    assert all(len(set(labels[rows])) == 3 for rows in batches)
    assert np.ptp(np.bincount(labels[batches.reshape(-1)])) <= 1


def test_all_rows_of_a_class_are_shown_before_one_again() -> None:
    labels = np.repeat([0, 1], [90, 10])
    rows = draw(labels, 10).reshape(-1)
    shown = np.bincount(rows, minlength=100)
    assert (shown[:90] <= 1).all() and (shown[90:] == 5).all()
    assert not np.array_equal(rows, draw(labels, 10, seed=1).reshape(-1)) and np.array_equal(rows, draw(labels, 10).reshape(-1))


def test_fewer_rows_than_a_batch_make_one() -> None:
    assert sorted(np.bincount(draw(np.array([0, 1, 1]), 8)[0]).tolist()) == [2, 2, 4]


def test_label_sets_are_refused() -> None:
    with pytest.raises(PluginError, match="sampler balanced_batches balances classes, and tags holds label sets"):
        balanced_batches(Task((TAGS,)), {"tags": np.zeros((3, 2))}, 8)
