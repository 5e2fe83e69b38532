"""comp.points: drawn numbers put in their places."""

from __future__ import annotations

import pytest

from comp.domains import Range, read_tree
from comp.errors import WorkspaceError
from comp.points import count_points, fit, list_points, work_out


@pytest.mark.parametrize(
    ("span", "drawn", "value"),
    [
        (Range("uniform", 0.0, 1.0), 1 / 3, 1 / 3),
        (Range("uniform", 0.0, 1.0, 0.1), 0.30000000000000004, 0.3),
        (Range("uniform", 0.05, 1.0, 0.1), 1.0, 0.95),
        (Range("loguniform", 1e-5, 1e-2), 1.0000000000001e-2, 1e-2),
        (Range("int", 3, 10, 3), 10, 9),
        (Range("int", 3, 10, 3), 5, 6),
        (Range("logint", 1, 64), 64.0, 64),
    ],
)
def test_a_number_as_its_range_has_it(span: Range, drawn: float, value: float) -> None:
    assert fit(span, drawn) == value
    assert isinstance(fit(span, drawn), int) == span.whole


def test_points_of_a_grid_are_as_many_as_were_counted() -> None:
    text = {"use": "focal", "gamma": {"uniform": [0, 0.3], "step": 0.1}, "n": {"choice": [1, 2]}}
    tree = read_tree({"choice": [text, {"use": "ldam"}, {"int": [2, 4]}]})
    points = list_points(tree, "loss")
    assert count_points(tree) == len(points) == 4 * 2 + 1 + 3
    assert len({str(point) for point in points}) == len(points)
    assert points[0] == {"loss": 0, "loss.0.gamma": 0.0, "loss.0.n": 0}
    assert [point["loss.0.gamma"] for point in points[:8:2]] == [0.0, 0.1, 0.2, 0.3]
    assert points[8:] == [{"loss": 1}, *({"loss": 2, "loss.2": n} for n in (2, 3, 4))]


def test_formulas_take_what_is_drawn_before_what_is_fixed() -> None:
    fixed = {"optimizer": {"lr": 5.0, "name": "adam"}, "stages": [{"epochs": 3}, {"epochs": 4}], "loss": {"gamma": 9}}
    formulas = {
        "a": "2 * optimizer.lr", "b": "stages.1.epochs + 1", "c": "loss.gamma", "d": "3 * optimizer.head_lr",
        "optimizer.head_lr": "optimizer.lr * 10",
    }  # fmt: skip
    values = {name: read_tree({"formula": text}) for name, text in formulas.items()}
    values |= {"optimizer.lr": 0.5, "loss": {"use": "focal", "gamma": 2, "alpha": read_tree({"formula": "loss.gamma * 0.5"})}}
    assert work_out(values, {}, fixed) == {
        "a": 1.0, "b": 5, "c": 2, "d": 15.0, "optimizer.head_lr": 5.0, "optimizer.lr": 0.5,
        "loss": {"use": "focal", "gamma": 2, "alpha": 1.0},
    }  # fmt: skip
    with pytest.raises(WorkspaceError, match=r"search.x: 'loss.max_m // 1' has no value: there is no loss.max_m"):
        work_out({"x": read_tree({"formula": "loss.max_m // 1"})}, {}, fixed)
    with pytest.raises(WorkspaceError, match=r"optimizer is {.*}, no number"):
        work_out({"x": read_tree({"formula": "2 * optimizer"})}, {}, fixed)
    with pytest.raises(WorkspaceError, match="'adam' is no number"):
        work_out({"x": read_tree({"formula": "2 * optimizer.name"})}, {}, fixed)
