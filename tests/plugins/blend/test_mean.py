"""Blends by a mean, against numbers worked by hand and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from scipy.stats import gmean, rankdata

from comp.api import PluginError, Target, Task
from comp.plugins.blend.mean import geometric, mean, rank

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))
MEMBERS = {"exp001": np.array([[0.2, 0.8]]), "exp002": np.array([[0.6, 0.4]])}
TASKS = dict.fromkeys(MEMBERS, TASK)


def random_members(rows: int, width: int, count: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"m{number}": softmax(random.normal(size=(rows, width)) * 2, axis=1) for number in range(count)}


def test_mean_counts_all_alike():
    blend = mean(TASK, TASKS)
    blend.fit(MEMBERS, {"label": np.array([0])})
    np.testing.assert_allclose(blend.predict(MEMBERS), [[0.4, 0.6]])
    assert blend.weights == {"exp001": 0.5, "exp002": 0.5}


def test_mean_divides_weights_by_their_sum():
    np.testing.assert_allclose(mean(TASK, TASKS, weights={"exp001": 3, "exp002": 1}).predict(MEMBERS), [[0.3, 0.7]])
    np.testing.assert_allclose(mean(TASK, TASKS, weights={"exp001": 0, "exp002": 2}).predict(MEMBERS), [[0.6, 0.4]])


def test_without_a_member_the_others_weights_are_divided_anew():
    members = random_members(4, 2)
    blend = mean(TASK, dict.fromkeys(members, TASK), weights={"m0": 2, "m1": 1, "m2": 1})
    left = {name: members[name] for name in ("m0", "m1")}
    np.testing.assert_allclose(blend.predict(left), (2 * members["m0"] + members["m1"]) / 3)


@pytest.mark.parametrize("rule", [mean, geometric, rank])
@pytest.mark.parametrize("weights", [{"exp001": -1, "exp002": 2}, {"exp001": 0, "exp002": 0}])
def test_weights_that_make_no_mean_are_refused(rule, weights):
    with pytest.raises(PluginError, match="0 or more"):
        rule(TASK, TASKS, weights=weights)


@pytest.mark.parametrize("rule", [mean, geometric, rank])
@pytest.mark.parametrize("weights", [{"exp009": 1}, {}])
def test_weights_of_other_members_are_refused(rule, weights):
    with pytest.raises(PluginError, match=r"weights are of (exp009)?; the members are exp001, exp002"):
        rule(TASK, TASKS, weights=weights)


def test_geometric_by_hand():
    # sqrt(.2 * .6) : sqrt(.8 * .4) = .34641 : .56569
    np.testing.assert_allclose(geometric(TASK, TASKS).predict(MEMBERS), [[0.379796, 0.620204]], atol=1e-6)


def test_geometric_is_scipys_and_the_mean_of_logits():
    members = random_members(50, 4)
    task = Task((Target("label", "multiclass", tuple("abcd"), ("label",)),))
    wanted = gmean(np.stack(list(members.values())), weights=np.array([3, 1, 2])[:, None, None], axis=0)
    wanted /= wanted.sum(axis=1, keepdims=True)
    found = geometric(task, dict.fromkeys(members, task), weights={"m0": 3, "m1": 1, "m2": 2}).predict(members)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    tags = {name: values[:, :2] for name, values in members.items()}
    wanted = expit(np.mean([logit(values) for values in tags.values()], axis=0))
    np.testing.assert_allclose(geometric(TAGS, dict.fromkeys(tags, TAGS)).predict(tags), wanted, atol=1e-12)


def test_geometric_bears_zeros():
    members = {"exp001": np.array([[0.0, 1.0]]), "exp002": np.array([[1.0, 0.0]])}
    np.testing.assert_allclose(geometric(TASK, TASKS).predict(members), [[0.5, 0.5]])


def test_rank_by_hand_and_against_scipy():
    members = {"exp001": np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5]]), "exp002": np.array([[0.3, 0.7], [0.2, 0.8], [0.1, 0.9]])}
    # Ranks of the first column: 1, 2.5, 2.5 and 3, 2, 1.
    np.testing.assert_allclose(rank(TASK, TASKS).predict(members)[:, 0], (np.array([4, 4.5, 3.5]) / 2 - 0.5) / 3)
    np.testing.assert_allclose(rank(TASK, TASKS).predict(members).sum(axis=1), 1)
    members = {name: np.round(values, 1) for name, values in random_members(40, 2).items()}
    wanted = np.mean([(rankdata(values, axis=0) - 0.5) / 40 for values in members.values()], axis=0)
    np.testing.assert_allclose(rank(TASK, dict.fromkeys(members, TASK)).predict(members), wanted, atol=1e-12)


@pytest.mark.parametrize("rule", [geometric, rank])
def test_numbers_have_no_such_mean(rule):
    with pytest.raises(PluginError, match="'age' is a number: use mean"):
        rule(NUMBER, {"m": NUMBER})
