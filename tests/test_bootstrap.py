"""The interval is that of the units drawn again: the spread of a mean where the score is a mean, and none without a score."""

from __future__ import annotations

import numpy as np
import pytest

from comp import bootstrap
from comp.api import Metric, MetricUndefined, Target, Task
from comp.bootstrap import RESAMPLES, estimate_interval
from comp.predictions import Predictions

WEIGHT = Target("weight", "regression", (), ("weight",))
OTHER = Target("height", "regression", (), ("height",))
MEAN = Metric(lambda answers, predictions: float(np.mean(predictions - answers)))


def draw(units: int, task: Task = Task((WEIGHT,))) -> Predictions:
    values = np.random.default_rng(1).normal(size=(units, task.outputs))
    return Predictions(task, np.array([f"u{number}" for number in range(units)], dtype=object), values)


def nothing(predictions: Predictions) -> dict[str, np.ndarray]:
    return {target.name: np.zeros(len(predictions.ids)) for target in predictions.task.targets}


def test_by_hand_one_unit_of_two_differs() -> None:
    # The mean of two draws of 0 and 1 is 0, 1/2 or 1 (1/4, 1/2, 1/4): the ends of 95% are 0 and 1.
    predictions = Predictions(Task((WEIGHT,)), np.array(["a", "b"], dtype=object), np.array([[0.0], [1.0]]))
    assert estimate_interval(predictions, nothing(predictions), {"weight": MEAN}) == {
        "low": 0.0,
        "high": 1.0,
        "resamples": RESAMPLES,
    }


def test_a_means_interval_is_its_standard_errors() -> None:
    predictions = draw(400)
    found = estimate_interval(predictions, nothing(predictions), {"weight": MEAN})
    mean, error = predictions.values.mean(), predictions.values.std() / 20
    assert found["low"] == pytest.approx(mean - 1.96 * error, abs=0.35 * error)
    assert found["high"] == pytest.approx(mean + 1.96 * error, abs=0.35 * error)
    assert found == estimate_interval(predictions, nothing(predictions), {"weight": MEAN})


def test_fewer_units_are_drawn_of_many_and_the_spread_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "CELLS", 500)
    monkeypatch.setattr(bootstrap, "LEAST_UNITS", 10)
    seen = set()

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        seen.add(len(answers))
        return float(predictions.mean())

    predictions = draw(20_000)
    found = estimate_interval(predictions, nothing(predictions), {"weight": Metric(compute)})
    mean, error = predictions.values.mean(), predictions.values.std() / np.sqrt(20_000)
    assert seen == {20_000, 500}
    assert found["low"] == pytest.approx(mean - 1.96 * error, abs=0.35 * error)
    assert found["high"] == pytest.approx(mean + 1.96 * error, abs=0.35 * error)


def test_of_several_targets_the_mean_is_drawn_again() -> None:
    predictions = draw(400, Task((WEIGHT, OTHER)))
    found = estimate_interval(predictions, nothing(predictions), {"weight": MEAN, "height": MEAN})
    means = predictions.values.mean(axis=1)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * means.std() / 20, rel=0.2)


def undefined_where(condition) -> Metric:
    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        if condition(predictions):
            raise MetricUndefined("no")
        return 1.0

    return Metric(compute)


def test_resamples_without_a_score_are_left_out_and_counted() -> None:
    predictions = draw(3)
    top = predictions.values.max()
    found = estimate_interval(predictions, nothing(predictions), {"weight": undefined_where(lambda drawn: top not in drawn)})
    # The top one is not among three draws of three in 8 of 27 cases.
    assert found["resamples"] == pytest.approx(RESAMPLES * 19 / 27, abs=20)


def test_no_interval_without_enough_scores() -> None:
    predictions = draw(30)
    once = undefined_where(lambda drawn: len(np.unique(drawn)) < 30)
    always = undefined_where(lambda drawn: True)
    for metric in (once, always):
        assert estimate_interval(predictions, nothing(predictions), {"weight": metric}) is None
    assert estimate_interval(draw(1), {"weight": np.zeros(1)}, {"weight": MEAN}) is None
