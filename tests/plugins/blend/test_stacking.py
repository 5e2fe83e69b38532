"""Stacking, against the same models written out with scikit-learn and scipy."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from comp.api import PluginError, Target, Task
from comp.plugins.blend.stacking import stacking

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))


def make_classes(rows: int = 120):
    random = np.random.default_rng(0)
    answers = random.integers(0, 3, rows)
    members = {f"m{i}": softmax(np.eye(3)[answers] * 2 + random.normal(size=(rows, 3)), axis=1) for i in range(2)}
    return members, {"label": answers}


def standardise(table: np.ndarray) -> np.ndarray:
    return (table - table.mean(axis=0)) / table.std(axis=0)


def test_logistic_is_the_least_penalised_log_loss():
    members, targets = make_classes()
    blend = stacking(TASK, strength=2.0)
    blend.fit(members, targets)
    features = standardise(np.log(np.hstack(list(members.values()))))
    answers, width = targets["label"], features.shape[1]

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[: 3 * width].reshape(3, width), flat[3 * width :]
        scores = log_softmax(features @ weights.T + bias, axis=1)
        return -scores[np.arange(len(answers)), answers].sum() + 2.0 / 2 * (weights**2).sum()

    found = minimize(loss, np.zeros(3 * width + 3), method="BFGS", options={"gtol": 1e-5}).x
    wanted = softmax(features @ found[: 3 * width].reshape(3, width).T + found[3 * width :], axis=1)
    np.testing.assert_allclose(blend.predict(members), wanted, atol=2e-3)


def test_labels_have_a_regression_each():
    random = np.random.default_rng(1)
    answers = (random.random((150, 2)) < 0.4).astype(np.float32)
    members = {f"m{i}": np.clip(answers * 0.4 + random.random((150, 2)) * 0.6, 0.01, 0.99) for i in range(2)}
    blend = stacking(TAGS, method="logistic")
    blend.fit(members, {"tags": answers})
    for label in range(2):
        told = np.column_stack([values[:, label] for values in members.values()])
        features = standardise(np.log(told / (1 - told)))

        def loss(flat: np.ndarray) -> float:
            score = features @ flat[:2] + flat[2]  # noqa: B023
            return (np.logaddexp(0, score) - score * answers[:, label]).sum() + (flat[:2] ** 2).sum() / 2  # noqa: B023

        found = minimize(loss, np.zeros(3), method="BFGS").x
        np.testing.assert_allclose(blend.predict(members)[:, label], expit(features @ found[:2] + found[2]), atol=2e-3)


def test_ridge_is_the_normal_equations():
    random = np.random.default_rng(2)
    answers = random.normal(40, 8, 100)
    members = {f"m{i}": (answers + random.normal(0, 3 + i, 100))[:, None] for i in range(3)}
    blend = stacking(NUMBER, strength=5.0)
    blend.fit(members, {"age": answers})
    features = standardise(np.hstack(list(members.values())))
    weights = np.linalg.solve(features.T @ features + 5 * np.eye(3), features.T @ (answers - answers.mean()))
    np.testing.assert_allclose(blend.predict(members)[:, 0], features @ weights + answers.mean())


def test_ridge_answers_classes_with_rows_that_sum_to_one():
    members, targets = make_classes()
    blend = stacking(TASK, method="ridge")
    blend.fit(members, targets)
    found = blend.predict(members)
    features = standardise(np.hstack(list(members.values())))
    wanted = np.eye(3)[targets["label"]]
    weights = np.linalg.solve(features.T @ features + np.eye(6), features.T @ (wanted - wanted.mean(axis=0)))
    wanted = np.clip(features @ weights + wanted.mean(axis=0), 0, 1)
    np.testing.assert_allclose(found, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-9)
    random = np.random.default_rng(1)
    tags = {"m": random.random((50, 2))}
    blend = stacking(TAGS, method="ridge")
    blend.fit(tags, {"tags": (tags["m"] > 0.5).astype(np.float32)})
    assert ((blend.predict(tags) > 0.5) == (tags["m"] > 0.5)).mean() > 0.9


def test_a_class_that_no_answer_has_gets_nothing():
    members, targets = make_classes()
    targets["label"] = np.where(targets["label"] == 1, 2, targets["label"])
    blend = stacking(TASK)
    blend.fit(members, targets)
    found = blend.predict(members)
    assert (found[:, 1] == 0).all() and np.allclose(found.sum(axis=1), 1)
    blend.fit(members, {"label": np.full(120, 2)})
    assert blend.predict(members).tolist() == [[0, 0, 1]] * 120


def test_several_targets_have_a_model_each():
    members, targets = make_classes()
    random = np.random.default_rng(3)
    targets["age"] = random.normal(30, 5, 120)
    members = {name: np.column_stack([values, targets["age"] + random.normal(0, 1, 120)]) for name, values in members.items()}
    blend = stacking(Task((*TASK.targets, *NUMBER.targets)))
    blend.fit(members, targets)
    assert blend.predict(members).shape == (120, 4) and abs(blend.predict(members)[:, 3] - targets["age"]).mean() < 1


@pytest.mark.parametrize("wrong", [{"strength": 0.0}, {"estimators": 0}, {"leaves": 1}, {"lr": 0.0}])
def test_what_is_out_of_range_is_refused(wrong):
    with pytest.raises(PluginError, match=next(iter(wrong))):
        stacking(TASK, **wrong)


def test_logistic_is_not_for_numbers():
    with pytest.raises(PluginError, match="'age' is a number: use ridge"):
        stacking(NUMBER, method="logistic")


def test_without_lightgbm_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(PluginError, match=r"pip install 'comp-kit\[lightgbm\]'"):
        stacking(TASK, method="lightgbm")


def test_lightgbm_is_called_as_its_scikit_learn_interface_wants(monkeypatch):
    """By a stand-in of scikit-learn's own trees; the real one has a test of its own."""
    asked = []

    def stand_in(kind):
        def make(n_estimators, num_leaves, learning_rate, random_state, **others):
            asked.append(others)
            return kind(max_iter=n_estimators, max_leaf_nodes=num_leaves, learning_rate=learning_rate, random_state=random_state)

        return make

    module = ModuleType("lightgbm")
    module.LGBMClassifier = stand_in(HistGradientBoostingClassifier)
    module.LGBMRegressor = stand_in(HistGradientBoostingRegressor)
    monkeypatch.setitem(sys.modules, "lightgbm", module)
    members, targets = make_classes()
    blend = stacking(TASK, method="lightgbm", estimators=20)
    blend.fit(members, targets)
    assert (blend.predict(members).argmax(axis=1) == targets["label"]).mean() > 0.8
    assert asked[0] == {"n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbose": -1}


def test_lightgbm_itself():
    members, targets = make_classes()
    found = []
    for _ in range(2):
        blend = stacking(TASK, method="lightgbm", estimators=20)
        blend.fit(members, targets)
        found.append(blend.predict(members))
    np.testing.assert_array_equal(*found)
    assert (found[0].argmax(axis=1) == targets["label"]).mean() > 0.8 and np.allclose(found[0].sum(axis=1), 1)
