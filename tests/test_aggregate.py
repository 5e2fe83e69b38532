"""Aggregating rows of a unit, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from comp.aggregate import aggregate_rows, check_aggregate
from comp.api import Target, Task
from comp.errors import PredictionsError

SICK = Task((Target("sick", "binary", ("0", "1"), ("sick",)),))
ANIMAL = Task((Target("animal", "multiclass", ("cat", "dog", "owl"), ("animal",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))
WEIGHT = Task((Target("kg", "regression", (), ("kg",)),))
KEYS = np.array([7, 3, 7])


def aggregate(task: Task, rule: str, *rows: list[float]) -> list[list[float]]:
    """Of the units 3 (the second row) and 7 (the first and the third)."""
    values, first = aggregate_rows(np.array(rows, dtype=np.float64), KEYS, task, rule)
    assert first.tolist() == [1, 0]
    return values.round(6).tolist()


def test_a_binary_target_is_judged_by_its_second_class() -> None:
    rows = [0.9, 0.1], [0.8, 0.2], [0.5, 0.5]
    assert aggregate(SICK, "mean", *rows) == [[0.8, 0.2], [0.7, 0.3]]
    assert aggregate(SICK, "max", *rows) == [[0.8, 0.2], [0.5, 0.5]]
    assert aggregate(SICK, "noisy_or", *rows) == [[0.8, 0.2], [0.45, 0.55]]  # 1 - 0.9 * 0.5


def test_more_classes_are_brought_back_to_a_sum_of_1() -> None:
    rows = [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.2, 0.8, 0.0]
    assert aggregate(ANIMAL, "max", *rows) == [[0.1, 0.2, 0.7], [round(0.6 / 1.4, 6), round(0.8 / 1.4, 6), 0.0]]
    total = 0.68 + 0.88
    assert aggregate(ANIMAL, "noisy_or", *rows) == [[0.1, 0.2, 0.7], [round(0.68 / total, 6), round(0.88 / total, 6), 0.0]]


def test_labels_each_by_itself_and_certainty_stays_certain() -> None:
    assert aggregate(TAGS, "noisy_or", [0.5, 1.0], [0.3, 0.0], [0.5, 0.2]) == [[0.3, 0.0], [0.75, 1.0]]


def test_numbers_have_a_maximum_and_no_noisy_or() -> None:
    assert aggregate(WEIGHT, "max", [4.0], [1.0], [2.0]) == [[1.0], [4.0]]
    with pytest.raises(PredictionsError, match="target 'kg' is a number; take mean or max"):
        aggregate(WEIGHT, "noisy_or", [4.0], [1.0], [2.0])


def test_no_rows() -> None:
    values, first = aggregate_rows(np.empty((0, 2)), np.empty(0, np.int64), SICK, "max")
    assert values.shape == (0, 2) and len(first) == 0


def test_a_rule_is_checked_before_there_are_rows() -> None:
    both = Task((*SICK.targets, *WEIGHT.targets))
    (fault,) = check_aggregate(both, "noisy_or")
    assert fault == "aggregate: noisy_or is of probabilities, but target 'kg' is a number; take mean or max"
    assert check_aggregate(both, "max") == check_aggregate(SICK, "noisy_or") == []
