"""The deciding metric as plugins are given it: greater is better, minus infinity where it is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from comp.api import Metric, MetricUndefined, Target, Task
from comp.judges import TargetJudge, TaskJudge
from comp.plugins.metric.accuracy import accuracy
from comp.plugins.metric.log_loss import log_loss
from comp.plugins.metric.rmse import rmse

CLASSES = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))
PREDICTIONS, ANSWERS = np.array([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 1])


def test_greater_is_always_better():
    assert TaskJudge(CLASSES, {"label": accuracy(CLASSES)})({"label": ANSWERS}, PREDICTIONS) == 0.5
    wanted = (math.log(0.8) + math.log(0.4)) / 2
    assert TaskJudge(CLASSES, {"label": log_loss(CLASSES)})({"label": ANSWERS}, PREDICTIONS) == pytest.approx(wanted)
    judge = TargetJudge(log_loss(CLASSES))
    assert judge(ANSWERS, PREDICTIONS) == pytest.approx(wanted)
    np.testing.assert_allclose(judge.by_class(ANSWERS, PREDICTIONS), [math.log(0.8), math.log(0.4)])
    assert TargetJudge(rmse(NUMBER))(np.array([1.0, 3.0]), np.array([1.0, 1.0])) == pytest.approx(-math.sqrt(2))


def test_several_targets_have_their_mean_and_no_scores_by_class():
    task = Task((*CLASSES.targets, *NUMBER.targets))
    judge = TaskJudge(task, {"label": log_loss(CLASSES), "age": rmse(NUMBER)})
    targets = {"label": ANSWERS, "age": np.array([1.0, 3.0])}
    found = judge(targets, np.column_stack([PREDICTIONS, [1.0, 1.0]]))
    assert found == pytest.approx(((math.log(0.8) + math.log(0.4)) / 2 - math.sqrt(2)) / 2)
    assert judge.by_class(targets, PREDICTIONS) is None
    assert TaskJudge(CLASSES, {"label": accuracy(CLASSES)}).by_class({"label": ANSWERS}, PREDICTIONS).tolist() == [1, 0]


def test_what_is_undefined_is_minus_infinity():
    def undefined(targets, predictions):
        raise MetricUndefined("only positives")

    for metric in (Metric(undefined), Metric(lambda targets, predictions: float("nan"))):
        assert TargetJudge(metric)(ANSWERS, PREDICTIONS) == -math.inf
        assert TaskJudge(CLASSES, {"label": metric})({"label": ANSWERS}, PREDICTIONS) == -math.inf
    assert TargetJudge(Metric(undefined)).by_class(ANSWERS, PREDICTIONS) is None
