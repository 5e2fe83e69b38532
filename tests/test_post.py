"""Post rules in a chain: target by target, one after another, cross-fitted, kept as plain data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from comp.api import Metric, Target, Task
from comp.catalog import build_catalog
from comp.errors import PluginError
from comp.post import Chain, Rule, build_chain, cross_apply, strip_state
from comp.predictions import Predictions

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)), Target("age", "regression", (), ("age",))))
METRICS = {"label": Metric(lambda targets, predictions: 0.0), "age": Metric(lambda targets, predictions: 0.0)}
VALUES = np.array([[0.9, 0.1, 5.0], [0.2, 0.8, 7.0], [0.5, 0.5, 9.0], [0.6, 0.4, 11.0]])
ANSWERS = {"label": np.array([0, 1, 0, 1]), "age": np.array([1.0, 2.0, 3.0, 4.0])}


class Shift:
    """Adds the mean of the answers that it was fitted on."""

    def fit(self, predictions, targets):
        self.mean = float(np.mean(targets))

    def apply(self, predictions):
        return predictions + self.mean

    def state(self):
        return {"mean": self.mean}

    def load(self, state):
        self.mean = state["mean"]


def make(specs):
    return build_chain(build_catalog(None), specs, TASK, METRICS)


def test_a_rule_is_for_the_targets_that_it_names():
    chain = make([{"use": "clip", "low": 0.0, "high": 8.0, "targets": ["age"]}])
    assert chain.apply(VALUES).tolist() == [[0.9, 0.1, 5], [0.2, 0.8, 7], [0.5, 0.5, 8], [0.6, 0.4, 8]]
    with pytest.raises(PluginError, match="no target 'size'; they are label, age"):
        make([{"use": "clip", "low": 0.0, "targets": ["size"]}])
    with pytest.raises(PluginError, match="'age' is a number"):
        make([{"use": "temperature", "targets": None}])


def test_each_rule_is_fitted_on_what_those_before_it_made():
    first, second = Shift(), Shift()
    seen = []
    second.fit = lambda predictions, targets: (seen.append(predictions.tolist()), Shift.fit(second, predictions, targets))
    chain = Chain(TASK, (Rule({"use": "x"}, {"age": first}), Rule({"use": "x"}, {"age": second})))
    chain.fit(VALUES, ANSWERS)
    assert seen == [[7.5, 9.5, 11.5, 13.5]] and chain.apply(VALUES)[:, 2].tolist() == [10, 12, 14, 16]


def test_no_fold_sees_its_own_answers():
    oof = Predictions(TASK, np.array(list("pqrs"), dtype=object), VALUES, np.array([0, 0, 1, 1]))
    found = cross_apply(lambda: Chain(TASK, (Rule({"use": "x"}, {"age": Shift()}),)), oof, ANSWERS)
    assert found.values[:, 2].tolist() == [8.5, 10.5, 10.5, 12.5] and found.fold.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(found.values[:, :2], VALUES[:, :2])


def test_what_was_fitted_is_plain_data_that_does_the_same_again():
    specs = [{"use": "temperature", "targets": ["label"]}, {"use": "clip", "low": 6.0, "high": None, "targets": ["age"]}]
    chain = make(specs)
    chain.fit(VALUES, ANSWERS)
    described = json.loads(json.dumps(chain.describe()))
    again = make(specs)
    again.load(described)
    np.testing.assert_array_equal(again.apply(VALUES), chain.apply(VALUES))
    assert strip_state(described) == specs and described[0]["state"]["label"]["temperature"] > 0


@pytest.mark.parametrize("wrong", [lambda p: p[:1], lambda p: p * np.nan])
def test_another_shape_or_no_numbers_are_refused(wrong):
    rule = Shift()
    rule.apply = wrong
    with pytest.raises(PluginError, match="post 'x' returned .* for 'age'"):
        Chain(TASK, (Rule({"use": "x"}, {"age": rule}),)).apply(VALUES)
