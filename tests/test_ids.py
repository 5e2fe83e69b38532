"""Joining by id."""

from __future__ import annotations

import numpy as np
import pytest

from comp.errors import PredictionsError
from comp.ids import demand_same_ids, locate_ids, name_ids


def test_ids_are_found_as_text_in_any_order():
    assert locate_ids(["10", "010", "2"], ["2", "10", "010"], "a", "b").tolist() == [1, 2, 0]


def test_ids_that_are_not_there_are_named():
    with pytest.raises(PredictionsError, match=r"exp001: 2 ids \(x, y\) not in the training table"):
        locate_ids(["a", "x", "y"], ["a"], "exp001", "the training table")


def test_both_sides_of_a_difference_are_shown():
    demand_same_ids(np.array(["a", "b"]), np.array(["b", "a"]), "A's", "B's")
    with pytest.raises(PredictionsError, match=r"A's have 1 id \(a\) that B's lack; B's have 1 id \(c\) that A's lack"):
        demand_same_ids(np.array(["a", "b"]), np.array(["b", "c"]), "A's", "B's")


def test_many_ids_are_shortened():
    assert name_ids([str(number) for number in range(9)]) == "9 ids (0, 1, 2, 3, 4 and 4 more)"
    assert name_ids(["a"], "row") == "1 row (a)"
