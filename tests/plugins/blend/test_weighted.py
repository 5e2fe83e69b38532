"""Learned weights, against EM for mixtures, a quadratic programme and a grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.special import softmax

from comp.api import Target, Task
from comp.judges import TaskJudge
from comp.plugins.blend.weighted import weighted
from comp.plugins.metric.accuracy import accuracy
from comp.plugins.metric.log_loss import log_loss
from comp.plugins.metric.rmse import rmse

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))


def make_members(noise=(0.8, 1.0, 3.0), rows=300) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    answers = random.integers(0, 3, rows)
    members = {
        f"m{number}": softmax(1.5 * np.eye(3)[answers] + random.normal(size=(rows, 3)) * scale, axis=1)
        for number, scale in enumerate(noise)
    }
    return members, {"label": answers}


def judge(task, metric):
    return TaskJudge(task, {target.name: metric(task.only(target.name)) for target in task.targets})


def test_log_loss_is_least_where_expectation_maximisation_ends():
    members, targets = make_members()
    blend = weighted(TASK, judge(TASK, log_loss))
    blend.fit(members, targets)
    right = np.stack([values[np.arange(300), targets["label"]] for values in members.values()])
    shares = np.full(3, 1 / 3)
    for _ in range(5000):
        shares = (shares[:, None] * right / (shares @ right)).mean(axis=1)
    np.testing.assert_allclose(list(blend.weights.values()), np.where(shares < 1e-4, 0, shares), atol=2e-4)
    assert sum(blend.weights.values()) == pytest.approx(1)
    np.testing.assert_allclose(blend.predict(members), sum(blend.weights[name] * values for name, values in members.items()))


def test_labels_are_learned_likewise():
    random = np.random.default_rng(2)
    answers = (random.random((200, 2)) < 0.4).astype(np.float32)
    members = {f"m{i}": np.clip(answers * 0.4 + random.random((200, 2)) * 0.6, 0.01, 0.99) for i in range(3)}
    blend = weighted(TAGS, judge(TAGS, log_loss))
    blend.fit(members, {"tags": answers})
    score = judge(TAGS, log_loss)
    best = score({"tags": answers}, blend.predict(members))
    grid = [np.array([a, b, 20 - a - b]) / 20 for a, b in itertools.product(range(21), repeat=2) if a + b <= 20]
    others = [score({"tags": answers}, sum(w * v for w, v in zip(weights, members.values()))) for weights in grid]
    assert best >= max(others) and best - max(others) < 1e-3


def test_a_number_is_least_squares_with_shares():
    random = np.random.default_rng(3)
    answers = random.normal(50, 10, 400)
    errors = {"m0": (0, 3), "m1": (1, 4), "m2": (-9, 2)}
    members = {name: (answers + random.normal(bias, scale, 400))[:, None] for name, (bias, scale) in errors.items()}
    blend = weighted(NUMBER, judge(NUMBER, rmse))
    blend.fit(members, {"age": answers})
    # The same by non-negative least squares, the sum of 1 as a row of great weight.
    table = np.vstack([np.column_stack([values[:, 0] for values in members.values()]) - answers[:, None], np.full(3, 1e6)])
    wanted, _ = nnls(table, np.append(np.zeros(400), 1e6))
    np.testing.assert_allclose(list(blend.weights.values()), np.where(wanted < 1e-4, 0, wanted), atol=1e-3)


def test_by_the_metric_it_is_no_worse_than_by_loss_or_any_member():
    members, targets = make_members((1.0, 1.1, 1.2))
    score = judge(TASK, accuracy)
    by_loss, by_metric = weighted(TASK, score), weighted(TASK, score, on="metric")
    for blend in (by_loss, by_metric):
        blend.fit(members, targets)
    found = score(targets, by_metric.predict(members))
    assert found >= max(score(targets, by_loss.predict(members)), *(score(targets, values) for values in members.values()))
    grid = [np.array([a, b, 20 - a - b]) / 20 for a, b in itertools.product(range(21), repeat=2) if a + b <= 20]
    best = max(score(targets, sum(w * v for w, v in zip(weights, members.values()))) for weights in grid)
    assert found >= best - 0.01


def test_a_useless_member_gets_nothing():
    members, targets = make_members((0.5,))
    members["noise"] = np.full((300, 3), 1 / 3)[:, :] * np.array([1.5, 0.75, 0.75])
    members["wrong"] = np.roll(members["m0"], 1, axis=1)
    blend = weighted(TASK, judge(TASK, log_loss))
    blend.fit(members, targets)
    assert blend.weights["wrong"] == 0 and blend.weights["m0"] > 0.9


def test_several_targets_share_their_weights():
    task = Task((*TASK.targets, *NUMBER.targets))
    members, targets = make_members()
    random = np.random.default_rng(4)
    targets["age"] = random.normal(30, 5, 300)
    members = {name: np.column_stack([values, targets["age"] + random.normal(0, 1, 300)]) for name, values in members.items()}
    score = TaskJudge(task, {"label": log_loss(TASK), "age": rmse(NUMBER)})
    blend = weighted(task, score)
    blend.fit(members, targets)
    assert blend.predict(members).shape == (300, 4) and sum(blend.weights.values()) == pytest.approx(1)
