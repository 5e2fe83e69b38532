"""Members are joined by id, refused where they cannot be compared, and the rule is cross-fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comp import blends
from comp.api import Target, Task
from comp.blends import Member, align_members, answer_rows, blend_members, correlate_members, drop_members
from comp.errors import PluginError, PredictionsError
from comp.judges import TaskJudge
from comp.members import open_shelf
from comp.plugins.blend.hillclimb import hillclimb
from comp.plugins.blend.mean import mean
from comp.plugins.metric.log_loss import log_loss
from comp.predictions import Predictions

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))


def make_predictions(ids, first, fold=None):
    values = np.array([[value, 1 - value] for value in first], dtype=np.float64).reshape(-1, 2)
    return Predictions(TASK, np.array(list(ids), dtype=object), values, None if fold is None else np.array(fold))


ONE = Member("exp001", make_predictions("pqrs", [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]), make_predictions("xy", [0.5, 0.7]))
TWO = Member("exp002", make_predictions("srqp", [0.8, 0.7, 0.6, 0.5], [1, 1, 0, 0]), make_predictions("yx", [0.1, 0.9]))
ANSWERS = {"label": np.array([0, 1, 0, 1])}
TASKS = {"exp001": TASK, "exp002": TASK}


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
    blended = blend_members(lambda: mean(TASK, TASKS), aligned, TASK, ANSWERS)
    oof, test = blended.oof, blended.test
    assert blended.weights == {"exp001": 0.5, "exp002": 0.5} and blended.unused == set()
    assert oof.ids.tolist() == list("pqrs") and oof.fold.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(oof.values[:, 0], [0.3, 0.4, 0.5, 0.6])
    assert test.ids.tolist() == ["x", "y"] and test.fold is None
    np.testing.assert_allclose(test.values[:, 0], [0.7, 0.4])


def test_the_rule_of_a_fold_never_saw_its_answers_and_the_tests_rule_saw_all():
    Spy.fitted = []
    aligned = align_members([ONE, TWO])
    answers = answer_rows(aligned, list("srqp"), {"label": np.array([1, 1, 0, 0])})
    blended = blend_members(Spy, aligned, TASK, answers)
    oof, test = blended.oof, blended.test
    assert blended.weights is None
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
    with pytest.raises(PredictionsError, match="exp002 have no test predictions"):
        align_members([ONE, replace(TWO, test=None)])
    with pytest.raises(PredictionsError, match="must differ"):
        align_members([ONE, ONE])


def test_without_test_predictions_there_is_only_the_oof():
    blended = blend_members(lambda: mean(TASK, {"exp001": TASK}), align_members([replace(ONE, test=None)]), TASK, ANSWERS)
    assert blended.test is None
    np.testing.assert_array_equal(blended.oof.values, ONE.oof.values)


def test_a_rule_that_returns_another_shape_is_refused():
    class Short(Spy):
        def predict(self, members):
            return np.zeros((1, 1))

    with pytest.raises(PluginError, match=r"returned \(1, 1\).*wanted \(2, 2\)"):
        blend_members(Short, align_members([ONE]), TASK, ANSWERS)


@pytest.mark.parametrize("use", ["hillclimb", "mean"])
def test_members_that_are_put_aside_are_blended_as_those_that_are_held(use, tmp_path):
    random = np.random.default_rng(0)
    answers, ids = random.integers(0, 2, 90), [f"u{i}" for i in range(90)]
    firsts = [np.clip(0.5 + (0.5 - answers) * 0.4 + random.normal(0, 0.3, 90), 0, 1) for _ in range(3)]
    order = random.permutation(90)
    members = [
        Member("a", make_predictions(ids, firsts[0], np.arange(90) % 3), make_predictions("xy", [0.5, 0.7])),
        Member("b", make_predictions([ids[i] for i in order], firsts[1][order], order % 3), make_predictions("yx", [0.1, 0.9])),
        Member("c", make_predictions(ids, firsts[2], np.arange(90) % 3), make_predictions("xy", [0.2, 0.4])),
    ]
    targets = {"label": answers}
    build = (lambda: hillclimb(JUDGE)) if use == "hillclimb" else (lambda: mean(TASK, dict.fromkeys("abc", TASK)))
    held, aside = align_members(members), align_members(iter(members), lambda: open_shelf(tmp_path))
    wanted, found = (blend_members(build, aligned, TASK, targets) for aligned in (held, aside))
    np.testing.assert_array_equal(found.oof.values, wanted.oof.values)
    np.testing.assert_array_equal(found.test.values, wanted.test.values)
    assert found.weights == wanted.weights and sum(weight > 0 for weight in found.weights.values()) > 1
    losses = [drop_members(build, aligned, targets, JUDGE, frozenset()) for aligned in (held, aside)]
    assert losses[0] == losses[1] and None not in losses[0].values()
    assert correlate_members(held) == correlate_members(aside)


# ---- what a member is worth ----------------------------------------------------------------------------------------------

JUDGE = TaskJudge(TASK, {"label": log_loss(TASK)})


def draw_members(rows=60):
    random = np.random.default_rng(0)
    answers = random.integers(0, 2, rows)
    ids, fold = [f"u{i}" for i in range(rows)], np.arange(rows) % 3
    noises = {"good": 0.2, "fair": 0.3, "bad": 5.0}
    firsts = {name: 1 / (1 + np.exp(3 * (answers - 0.5) + random.normal(0, scale, rows) * 3)) for name, scale in noises.items()}
    return align_members([Member(name, make_predictions(ids, first, fold), None) for name, first in firsts.items()]), answers


def test_without_a_member_the_rule_is_fitted_anew_and_scored_on_rows_it_did_not_see():
    aligned, answers = draw_members()
    targets = {"label": answers}
    losses = drop_members(lambda: mean(TASK, dict.fromkeys(aligned.oof, TASK)), aligned, targets, JUDGE, frozenset())
    whole = JUDGE(targets, np.mean(list(aligned.oof.values()), axis=0))
    for name in aligned.oof:
        left = JUDGE(targets, np.mean([values for other, values in aligned.oof.items() if other != name], axis=0))
        assert losses[name] == pytest.approx(whole - left)
    assert losses["bad"] < 0 < losses["good"]


def test_a_member_that_no_rule_used_costs_nothing():
    aligned, answers = draw_members()

    def build():
        return hillclimb(JUDGE)

    blended = blend_members(build, aligned, TASK, {"label": answers})
    assert blended.unused == {"bad"} and blended.weights["bad"] == 0
    losses = drop_members(build, aligned, {"label": answers}, JUDGE, blended.unused)
    assert losses["bad"] == 0.0
    assert drop_members(build, aligned, {"label": answers}, JUDGE, frozenset())["bad"] == pytest.approx(0, abs=1e-12)


def test_a_part_whose_rule_gives_a_member_no_weight_is_not_fitted_anew_without_it():
    aligned, answers = draw_members()
    fitted = []

    class Picky(Spy):
        """The rule of the first part uses `good` alone, the others all members."""

        def fit(self, members, targets):
            fitted.append(set(members))
            picky = len(fitted) == 1
            self.weights = {name: 1.0 if not picky else float(name == "good") for name in members}

        def predict(self, members):
            return np.mean([values for name, values in members.items() if self.weights[name]], axis=0)

    losses = drop_members(Picky, aligned, {"label": answers}, JUDGE, frozenset())
    assert [len(names) for names in fitted] == [3, 3, 3] + [2] * 3 + [2] * 2 + [2] * 2  # without good, fair and bad
    first, rest = aligned.fold == 0, aligned.oof
    whole = np.where(first[:, None], rest["good"], np.mean(list(rest.values()), axis=0))
    left = np.where(first[:, None], rest["good"], np.mean([rest["good"], rest["fair"]], axis=0))
    assert losses["bad"] == pytest.approx(JUDGE({"label": answers}, whole) - JUDGE({"label": answers}, left))


def test_of_many_rows_a_sample_is_looked_at(monkeypatch):
    monkeypatch.setattr(blends, "DROP_ROWS", 30)
    aligned, answers = draw_members()
    seen = []

    class Counting(Spy):
        def fit(self, members, targets):
            self.share = 0.5

        def predict(self, members):
            count = len(next(iter(members.values())))
            seen.append(count)
            return np.full((count, 2), 0.5)

    drop_members(Counting, aligned, {"label": answers}, JUDGE, frozenset())
    assert sum(seen) == 4 * 30


def test_where_a_rule_or_the_metric_has_no_answer_there_is_none():
    aligned, answers = draw_members()

    class Refusing(Spy):
        def fit(self, members, targets):
            if len(members) < 3:
                raise PluginError("wants three")

        def predict(self, members):
            return np.full((len(members["good"]), 2), 0.5)

    assert drop_members(Refusing, aligned, {"label": answers}, JUDGE, frozenset()) == {"good": None, "fair": None, "bad": None}
    assert drop_members(Spy, align_members([ONE]), ANSWERS, JUDGE, frozenset()) == {}


def test_correlations_are_numpys_and_constant_outputs_do_not_count(monkeypatch):
    aligned, _ = draw_members()
    found = correlate_members(aligned)
    wanted = np.corrcoef([values[:, 0] for values in aligned.oof.values()])
    np.testing.assert_allclose([list(row.values()) for row in found.values()], wanted)
    assert correlate_members(replace(aligned, oof={**aligned.oof, "bad": np.full((60, 2), 0.5)})) == {}
    monkeypatch.setattr(blends, "CORRELATED_ROWS", 31)  # about every second row
    found, some = correlate_members(aligned), np.unique(np.linspace(0, 59, 31).astype(int))
    wanted = np.corrcoef([values[some, 0] for values in aligned.oof.values()])
    np.testing.assert_allclose([list(row.values()) for row in found.values()], wanted)
    assert correlate_members(replace(aligned, tasks={**aligned.tasks, "bad": Task(())})) == {}
