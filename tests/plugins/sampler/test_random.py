from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError
from comp.plugins.sampler.random import random


def draw(rows: int, batch_size: int, seed: int = 0, **arguments) -> np.ndarray:
    return random({"label": np.zeros(rows, np.int64)}, batch_size, **arguments)(np.random.default_rng(seed))


def test_fewer_rows_than_there_are_none_twice() -> None:
    order = draw(100, 8, batches=3)
    assert len(order) == 24 == len(set(order)) and order.min() >= 0 and order.max() < 100
    assert not np.array_equal(np.sort(order), np.sort(draw(100, 8, 1, batches=3)))
    assert np.array_equal(order, draw(100, 8, batches=3))


def test_more_rows_than_there_are_come_in_passes() -> None:
    order = draw(10, 8, batches=3)
    assert len(order) == 24
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10)) and len(set(order[20:])) == 4
    assert not np.array_equal(order[:10], order[10:20])


def test_with_replacement_a_row_may_come_again_at_once() -> None:
    order = draw(10, 8, batches=50, replacement=True)
    assert len(order) == 400 and set(order) == set(range(10))
    counts = np.bincount(order, minlength=10)
    assert counts.std() > 2  # passes would show each 40 times


def test_it_refuses_no_batches() -> None:
    with pytest.raises(PluginError, match=r"sampler.batches is 0; wanted 1 or more"):
        draw(10, 8, batches=0)
