from __future__ import annotations

import numpy as np

from comp.api import Target, Task
from comp.predictions import Predictions
from comp.report.counts import BINS, count_all


def predict(target: Target, values: np.ndarray) -> Predictions:
    return Predictions(Task((target,)), np.array([f"t{number}" for number in range(len(values))], dtype=object), values)


def test_classes_of_both_sides_in_class_order() -> None:
    target = Target("label", "multiclass", ("a", "b", "c"), ("label",))
    predicted = predict(target, np.eye(3)[[0, 0, 1, 0]])
    [table] = count_all({"label": np.array([2, 2, 0, -1, 2])}, predicted, [target])
    assert table.rows == (("a", (1, 0.2), (3, 0.75)), ("b", (0, 0.0), (1, 0.25)), ("c", (3, 0.6), (0, 0.0)))
    assert (table.what, table.largest) == ("class", 0.75)


def test_of_many_classes_the_largest_thirty_and_the_rest() -> None:
    target = Target("label", "multiclass", tuple(f"c{number:02}" for number in range(33)), ("label",))
    taught = np.repeat(np.arange(33), np.arange(33))  # class k has k rows: 0, 1 and 2 are the smallest
    predicted = predict(target, np.eye(33)[[0, 1, 1, 32]])
    [table] = count_all({"label": taught}, predicted, [target])
    assert [name for name, *_ in table.rows[:2]] == ["c32", "c31"] and len(table.rows) == 31
    assert table.rows[-1] == ("3 further", (3, 3 / 528), (3, 0.75))
    assert sum(train[0] for _, train, _ in table.rows) == 528


def test_labels_are_counted_each_and_so_is_none_at_all() -> None:
    target = Target("labels", "multilabel", ("a", "b"), ("a", "b"))
    taught = np.array([[1, 1], [0, 1], [0, 0], [0, 1]], dtype=np.float32)
    [table] = count_all({"labels": taught}, predict(target, np.array([[0.5, 0.1], [0.9, 0.8]])), [target])
    assert table.rows == (("a", (1, 0.25), (2, 1.0)), ("b", (3, 0.75), (1, 0.5)), ("(no label)", (1, 0.25), (0, 0.0)))
    [table] = count_all({"labels": taught[:2]}, None, [target])
    assert table.rows == (("a", (1, 0.5), None), ("b", (2, 1.0), None))


def test_numbers_are_counted_in_ranges_that_both_sides_share() -> None:
    target = Target("age", "regression", (), ("age",))
    [table] = count_all({"age": np.array([0, 1, 119.5], np.float32)}, predict(target, np.array([[10.0], [120.0]])), [target])
    assert len(table.rows) == BINS and table.rows[0][0] == "0 – 10" and table.what == "range"
    assert [train[0] for _, train, _ in table.rows] == [2, *[0] * 10, 1]
    assert [test[0] for _, _, test in table.rows] == [0, 1, *[0] * 9, 1]


def test_predictions_alone() -> None:
    target = Target("label", "multiclass", ("a", "b"), ("label",))
    [table] = count_all(None, predict(target, np.eye(2)), [target])
    assert table.rows == (("a", None, (1, 0.5)), ("b", None, (1, 0.5)))
