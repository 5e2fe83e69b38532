from __future__ import annotations

import re

import numpy as np
import pytest

from comp.api import Target
from comp.report.answered import Answered
from comp.report.values import report_values

AGE = Target("age", "regression", (), ("age",))


def report(values: list[float], truth: list[float]):
    ids = np.array([f"u{number}" for number in range(len(values))], dtype=object)
    [found] = report_values([Answered(AGE, ids, np.array(values)[:, None], np.array(truth, np.float32))])
    return found


def test_figures_by_hand() -> None:
    # errors 1, -1, 3: squares 1, 1, 9; the truth 1, 2, 3 is 2 in all away from its mean
    figures = dict(report([2, 1, 6], [1, 2, 3]).figures)
    assert figures["mean absolute error"] == pytest.approx(5 / 3)
    assert figures["root mean squared error"] == pytest.approx(np.sqrt(11 / 3))
    assert figures["mean error (predicted − true)"] == pytest.approx(1)
    assert figures["R²"] == pytest.approx(1 - 11 / 2)
    # predictions less their mean are -1, -2, 3: the product with -1, 0, 1 is 4
    assert figures["correlation"] == pytest.approx(4 / np.sqrt(14 * 2))


def test_what_is_undefined_has_no_figure() -> None:
    figures = dict(report([2, 2], [1, 1]).figures)
    assert figures["R²"] is None and figures["correlation"] is None and figures["mean absolute error"] == 1


def test_every_unit_is_a_point() -> None:
    assert len(re.findall("<circle", report([2, 1, 6], [1, 2, 3]).chart)) == 3
    many = np.arange(2000.0)
    assert len(re.findall("<circle", report(many.tolist(), many.tolist()).chart)) == 600


def test_classes_have_no_values() -> None:
    target = Target("label", "binary", ("0", "1"), ("label",))
    assert report_values([Answered(target, np.array(["u"], dtype=object), np.array([[0.5, 0.5]]), np.array([0]))]) == []
