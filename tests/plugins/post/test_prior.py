"""Prior correction, by hand and where the right shares are known."""

from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.post.prior import prior

TASK = Task((Target("label", "binary", ("a", "b"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))


def fit(rule, answers):
    rule.fit(np.zeros((len(answers), 2)), np.asarray(answers))
    return rule


def test_by_hand():
    # Trained on 3 : 1, asked for 1 : 3: .75 * (1/3) : .25 * 3 = .25 : .75.
    rule = fit(prior(TASK, to={"a": 0.25, "b": 0.75}), [0, 0, 0, 1])
    np.testing.assert_allclose(rule.apply(np.array([[0.75, 0.25]])), [[0.25, 0.75]])
    rule = fit(prior(TASK, to="uniform"), [0, 0, 0, 1])
    np.testing.assert_allclose(rule.apply(np.array([[0.75, 0.25]])), [[0.5, 0.5]])
    # A balanced sampler's model, brought to the table's shares.
    rule = fit(prior(TASK, to="train", trained="uniform"), [0, 0, 0, 1])
    np.testing.assert_allclose(rule.apply(np.array([[0.5, 0.5]])), [[0.75, 0.25]])
    rule = fit(prior(TASK, to="train", trained={"a": 0.5, "b": 0.5}), [0, 0, 0, 1])
    np.testing.assert_allclose(rule.apply(np.array([[0.5, 0.5]])), [[0.75, 0.25]])


def gauss(share: float, rows: int, random) -> tuple[np.ndarray, np.ndarray]:
    """(labels, values): class 1 of that share around +1, class 0 around -1."""
    labels = (random.random(rows) < share).astype(int)
    return labels, random.normal(2.0 * labels - 1, 1.0)


def posterior(values: np.ndarray, share: float) -> np.ndarray:
    """Bayes' rule for gauss: the log likelihood ratio of +1 to -1 at unit variance is 2 x."""
    odds = share / (1 - share) * np.exp(2 * values)
    return np.column_stack([1 / (1 + odds), odds / (1 + odds)])


def test_em_finds_shares_that_it_was_not_told():
    random = np.random.default_rng(0)
    labels, _ = gauss(0.5, 1000, random)
    labels[:500], labels[500:] = 0, 1
    _, values = gauss(0.1, 40_000, random)
    rule = fit(prior(TASK, to="em"), labels)
    found = rule.apply(posterior(values, 0.5))
    assert found[:, 1].mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(found, posterior(values, found[:, 1].mean()), atol=1e-6)


def test_em_where_nothing_shifted_changes_next_to_nothing():
    random = np.random.default_rng(1)
    _, values = gauss(0.5, 40_000, random)
    rule = prior(TASK)
    rule.load({"seen": {"a": 0.5, "b": 0.5}})
    assert abs(rule.apply(posterior(values, 0.5)) - posterior(values, 0.5)).max() < 0.02


def test_labels_are_corrected_one_by_one():
    rule = fit(prior(TAGS, to={"x": 0.5, "y": 0.25}), np.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype=np.float32))
    # x: 1 in 4 becomes 1 in 2: odds times 3; y stays.
    np.testing.assert_allclose(rule.apply(np.array([[0.5, 0.3]])), [[0.75, 0.3]])
    assert prior(TAGS, to="em").apply is not None


def test_a_class_that_nobody_has_keeps_what_it_was_given():
    task = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
    rule = prior(task, to="uniform")
    rule.fit(np.zeros((2, 3)), np.array([0, 1]))
    np.testing.assert_allclose(rule.apply(np.array([[0.4, 0.4, 0.2]])), [[4 / 11, 4 / 11, 3 / 11]])
    assert rule.state() == {"seen": {"a": 0.5, "b": 0.5, "c": 0.0}}


@pytest.mark.parametrize("shares", [{"a": 0.5}, {"a": 0.5, "b": 0.4, "c": 0.1}, {"a": 0.5, "b": 0.4}, {"a": 0.0, "b": 1.0}])
@pytest.mark.parametrize("name", ["to", "trained"])
def test_shares_that_are_none_are_refused(name, shares):
    with pytest.raises(PluginError, match=f"post.{name}"):
        prior(TASK, **{name: shares})


def test_a_number_has_no_shares():
    with pytest.raises(PluginError, match="'age' is a number"):
        prior(Task((Target("age", "regression", (), ("age",)),)))
