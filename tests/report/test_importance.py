from __future__ import annotations

import numpy as np

from comp.report.importance import FEWEST_TRIALS, is_active, tabulate, weigh_parameters


def list_scored(searched, count: int) -> list[dict]:
    return [trial for trial in searched.make_trials(count) if trial["score"] is not None]


def test_the_key_that_decides_is_found(searched):
    found = weigh_parameters(searched.PARAMETERS, list_scored(searched, 40))
    (name, share), *others = found.shares
    assert name == "optimizer.lr" and share > 0.8 and found.explained > 0.5 and found.remark == ""
    assert {name for name, _ in others} == {"loss", "loss.0.gamma", "train.epochs"}
    assert share + sum(share for _, share in others) == 1


def test_noise_is_called_a_guess(searched):
    random = np.random.default_rng(0)
    noise = [{**trial, "score": float(random.normal())} for trial in list_scored(searched, 40)]
    found = weigh_parameters(searched.PARAMETERS, noise)
    assert found.explained < 0.1 and (not found.shares or "guess" in found.remark)


def test_too_few_trials_say_so(searched):
    found = weigh_parameters(searched.PARAMETERS, list_scored(searched, 40)[: FEWEST_TRIALS - 1])
    assert found.shares == () and "9 have a score, and 10 are needed" in found.remark


def test_equal_scores_say_so(searched):
    same = [{**trial, "score": 0.5} for trial in list_scored(searched, 40)]
    assert "same score" in weigh_parameters(searched.PARAMETERS, same).remark


def test_a_parameter_without_a_place_tells_nothing(searched):
    trials = [{"drawn": {"optimizer.lr": 1e-3, "loss": loss, "loss.0.gamma": gamma, "train.epochs": 3}} for loss, gamma in
              ((0, 1.0), (0, 2.0), (1, 2.9))]  # fmt: skip
    table = tabulate(searched.PARAMETERS, trials)
    assert table[:, 2].tolist() == [1.0, 2.0, 1.5]
    assert np.allclose(table[:, 0], np.log(1e-3))


def test_a_place_depends_on_every_choice_above():
    conditions = {"a": None, "a.0.b": ("a", 0), "a.0.b.1.c": ("a.0.b", 1)}
    inner = {"name": "a.0.b.1.c", "condition": ("a.0.b", 1)}
    assert is_active(inner, {"a": 0, "a.0.b": 1, "a.0.b.1.c": 0.5}, conditions)
    assert not is_active(inner, {"a": 1, "a.0.b": 1, "a.0.b.1.c": 0.5}, conditions)
    assert not is_active(inner, {"a": 0, "a.0.b": 0, "a.0.b.1.c": 0.5}, conditions)
