"""Members are joined by id, refused where they cannot be compared, and the rule is cross-fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comp.api import Target, Task
from comp.blends import Member, align_members, blend_members
from comp.errors import PluginError, PredictionsError
from comp.plugins.blend.mean import mean
from comp.predictions import Predictions

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))


def make_predictions(ids, first, fold=None):
    values = np.array([[value, 1 - value] for value in first], dtype=np.float64).reshape(-1, 2)
    return Predictions(TASK, np.array(list(ids), dtype=object), values, None if fold is None else np.array(fold))


ONE = Member("exp001", make_predictions("pqrs", [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]), make_predictions("xy", [0.5, 0.7]))
TWO = Member("exp002", make_predictions("srqp", [0.8, 0.7, 0.6, 0.5], [1, 1, 0, 0]), make_predictions("yx", [0.1, 0.9]))
ANSWERS = {"label": np.array([0, 1, 0, 1])}


class Spy:
    """Predicts the share of the answers it was fitted on that are 1."""

    fitted: list[list[int]] = []

    def fit(self, members, targets):
        self.share = float(targets["label"].mean())
        Spy.fitted.append(members["exp001"][:, 0].tolist())

    def predict(self, members):
        count = len(members["exp001"])
        return np.column_stack([np.full(count, 1 - self.share), np.full(count, self.share)])


def test_members_are_joined_by_id():
    aligned = align_members([ONE, TWO])
    np.testing.assert_allclose(aligned.oof["exp002"][:, 0], [0.5, 0.6, 0.7, 0.8])
    np.testing.assert_allclose(aligned.test["exp002"][:, 0], [0.9, 0.1])
    assert aligned.warnings == ()
    oof, test = blend_members(lambda: mean(TASK), aligned, list("srqp"), ANSWERS)
    assert oof.ids.tolist() == list("pqrs") and oof.fold.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(oof.values[:, 0], [0.3, 0.4, 0.5, 0.6])
    assert test.ids.tolist() == ["x", "y"] and test.fold is None
    np.testing.assert_allclose(test.values[:, 0], [0.7, 0.4])


def test_the_rule_of_a_fold_never_saw_its_answers_and_the_tests_rule_saw_all():
    Spy.fitted = []
    oof, test = blend_members(Spy, align_members([ONE, TWO]), list("pqrs"), {"label": np.array([0, 0, 1, 1])})
    assert Spy.fitted == [[0.3, 0.4], [0.1, 0.2], [0.1, 0.2, 0.3, 0.4]]
    assert oof.values[:, 1].tolist() == [1, 1, 0, 0]
    assert test.values[:, 1].tolist() == [0.5, 0.5]


def test_other_folds_are_a_warning_that_names_the_cost():
    other = replace(TWO, oof=replace(TWO.oof, fold=np.array([0, 1, 0, 0])))
    aligned = align_members([ONE, other])
    assert len(aligned.warnings) == 1 and "exp002 held out 1 of 4 ids in other folds than exp001" in aligned.warnings[0]


def test_what_cannot_be_compared_is_refused_with_the_difference():
    with pytest.raises(PredictionsError, match=r"exp001's OOF predictions have 1 id \(p\) that exp002's lack"):
        align_members([ONE, replace(TWO, oof=make_predictions("srq", [0.1, 0.2, 0.3], [0, 0, 1]))])
    with pytest.raises(PredictionsError, match=r"exp002's have 1 id \(z\)"):
        align_members([ONE, replace(TWO, test=make_predictions("xyz", [0.1, 0.2, 0.3]))])
    other = Task((Target("label", "multiclass", ("a", "c"), ("label",)),))
    with pytest.raises(PredictionsError, match=r"exp002 \(against exp001\).*Too many: c; missing: b"):
        align_members([ONE, replace(TWO, oof=replace(TWO.oof, task=other))])
    with pytest.raises(PredictionsError, match="exp002 have no test predictions"):
        align_members([ONE, replace(TWO, test=None)])
    with pytest.raises(PredictionsError, match="must differ"):
        align_members([ONE, ONE])


def test_without_test_predictions_there_is_only_the_oof():
    oof, test = blend_members(lambda: mean(TASK), align_members([replace(ONE, test=None)]), list("pqrs"), ANSWERS)
    assert test is None
    np.testing.assert_array_equal(oof.values, ONE.oof.values)


def test_a_rule_that_returns_another_shape_is_refused():
    class Short(Spy):
        def predict(self, members):
            return np.zeros((1, 1))

    with pytest.raises(PluginError, match=r"returned \(1, 1\).*wanted \(2, 2\)"):
        blend_members(Short, align_members([ONE]), list("pqrs"), ANSWERS)
