from __future__ import annotations

import numpy as np
import pytest

from comp.api import Target, Task
from comp.predictions import Predictions
from comp.report.answered import Answered
from comp.report.grids import show_mistakes, show_predicted


class Album:
    """Gives every unit the same picture, and remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, what: str, ids: list[str]) -> list[np.ndarray | str]:
        self.asked.append((what, list(ids)))
        return [np.zeros((8, 8, 1), np.uint8) for _ in ids]


def answered(target: Target, values: list[list[float]], truth: np.ndarray) -> Answered:
    return Answered(target, np.array([f"u{number}" for number in range(len(values))], dtype=object), np.array(values), truth)


def test_the_surest_mistake_comes_first_and_what_is_right_or_unlabelled_does_not() -> None:
    target = Target("label", "multiclass", ("a", "b", "c"), ("label",))
    values = [[0.6, 0.3, 0.1], [0.05, 0.9, 0.05], [0.99, 0.01, 0.0], [0.1, 0.1, 0.8], [0.95, 0.05, 0.0]]
    [(name, what, grid)] = show_mistakes([answered(target, values, np.array([1, 0, 0, 1, -1]))], album := Album())
    assert (name, what, grid.of) == ("label", "Surest mistakes", 3)
    assert album.asked == [("train", ["u1", "u3", "u0"])]
    assert grid.pictures[0].lines == ("u1", "true: a", "predicted: b (90%)")


def test_a_label_that_is_wrong_by_most_counts() -> None:
    target = Target("labels", "multilabel", ("a", "b"), ("a", "b"))
    values = [[0.4, 0.6], [0.02, 0.9], [0.7, 0.2]]
    truth = np.array([[0, 1], [1, 1], [0, 0]], np.float32)
    [(_, _, grid)] = show_mistakes([answered(target, values, truth)], album := Album())
    assert album.asked == [("train", ["u1", "u2"])] and grid.of == 2
    assert grid.pictures[0].lines == ("u1", "true: a, b", "predicted: b (90%)", "missed: a (2%)")
    assert grid.pictures[1].lines == ("u2", "true: none", "predicted: a (70%)", "not there: a (70%)")


def test_numbers_that_are_furthest_off() -> None:
    target = Target("age", "regression", (), ("age",))
    given = answered(target, [[1.0], [7.5], [3.0]], np.array([1, 2, 6], np.float32))
    [(_, what, grid)] = show_mistakes([given], album := Album())
    assert what == "Furthest off" and album.asked == [("train", ["u1", "u2", "u0"])]
    assert grid.pictures[0].lines == ("u1", "true: 2", "predicted: 7.5")


@pytest.mark.parametrize(("targets", "most"), [(1, 24), (2, 12), (9, 6)])
def test_a_grid_is_small(targets: int, most: int) -> None:
    target = Target("label", "binary", ("0", "1"), ("label",))
    found = show_mistakes([answered(target, [[0.9, 0.1]] * 100, np.ones(100, np.int64))] * targets, Album())
    assert {len(grid.pictures) for _, _, grid in found} == {most} and {grid.of for _, _, grid in found} == {100}


def test_test_pictures_are_spread_over_the_table_with_every_targets_answer() -> None:
    task = Task((Target("x", "binary", ("0", "1"), ("x",)), Target("y", "regression", (), ("y",))))
    ids = np.array([f"t{number}" for number in range(47)], dtype=object)
    values = np.column_stack([np.full(47, 0.25), np.full(47, 0.75), np.arange(47.0)])
    grid = show_predicted(Predictions(task, ids, values), album := Album())
    [(what, asked)] = album.asked
    assert what == "test" and asked == [f"t{number}" for number in range(0, 47, 2)] and (len(grid.pictures), grid.of) == (24, 47)
    assert grid.pictures[1].lines == ("t2", "x: 1 (75%)", "y: 2")
