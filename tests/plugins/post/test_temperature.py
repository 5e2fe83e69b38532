"""Temperature, against a known one, a grid, and the gradient of the log loss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import log_loss

from comp.api import PluginError, Target, Task
from comp.plugins.post.temperature import temperature

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")),))


def draw(rows: int = 20_000, sharper: float = 2.5):
    """Answers drawn by softmax(logits), predictions of `sharper` times these logits."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(rows, 3)) * 1.5
    answers = (softmax(logits, axis=1).cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    return softmax(logits * sharper, axis=1), answers


def test_it_finds_the_temperature_that_was_put_in():
    predictions, answers = draw()
    rule = temperature(TASK)
    rule.fit(predictions, answers)
    assert rule.temperature == pytest.approx(2.5, rel=0.05)
    grid = [log_loss(answers, softmax(np.log(predictions) / t, axis=1)) for t in np.linspace(0.5, 5, 200)]
    assert log_loss(answers, rule.apply(predictions)) <= min(grid) + 1e-9


def test_at_the_best_temperature_the_slope_is_zero():
    # d loss / d(1/T) = mean over rows of (expected logit - logit of the answer).
    predictions, answers = draw(500, 0.4)
    rule = temperature(TASK)
    rule.fit(predictions, answers)
    logits = np.log(predictions)
    shares = np.exp(log_softmax(logits / rule.temperature, axis=1))
    slope = ((shares * logits).sum(axis=1) - logits[np.arange(500), answers]).mean()
    assert abs(slope) < 1e-4
    np.testing.assert_allclose(rule.apply(predictions), shares)


def test_labels_have_one_for_all():
    random = np.random.default_rng(1)
    logits = random.normal(size=(20_000, 2))
    answers = (random.random(logits.shape) < expit(logits)).astype(np.float32)
    rule = temperature(TAGS)
    rule.fit(expit(logits * 3), answers)
    assert rule.temperature == pytest.approx(3, rel=0.06)
    np.testing.assert_allclose(rule.apply(expit(logits * 3)), expit(logits * 3 / rule.temperature), atol=1e-9)


def test_the_likeliest_stays_and_sure_rows_are_borne():
    predictions = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    rule = temperature(TASK)
    rule.load({"temperature": 4.0})
    assert rule.apply(predictions).argmax(axis=1).tolist() == [0, 1] and np.isfinite(rule.apply(predictions)).all()
    assert rule.state() == {"temperature": 4.0}


def test_a_number_has_no_temperature():
    with pytest.raises(PluginError, match="'age' is a number"):
        temperature(Task((Target("age", "regression", (), ("age",)),)))
