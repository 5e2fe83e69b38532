"""Greedy selection, against a plain one written anew, and by hand."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from comp.api import PluginError, Target, Task
from comp.judges import TaskJudge
from comp.plugins.blend.hillclimb import hillclimb
from comp.plugins.metric.accuracy import accuracy
from comp.plugins.metric.auc import auc
from comp.plugins.metric.log_loss import log_loss


def make(rows: int, width: int, count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    answers = random.integers(0, width, rows)
    base = random.normal(size=(rows, width)) + 2 * np.eye(width)[answers]
    members = {f"m{i}": softmax(base + random.normal(size=(rows, width)) * (0.6 + 0.05 * i), axis=1) for i in range(count)}
    return Task((Target("label", "multiclass", tuple(map(str, range(width))), ("label",)),)), members, {"label": answers}


def pick_plainly(members, answers, score, steps, patience):
    """Caruana's loop as one would write it: names picked, up to the best."""
    picked, history = [], []
    while len(picked) < steps:
        trials = {name: score(answers, np.mean([members[other] for other in [*picked, name]], axis=0)) for name in members}
        best = max(trials, key=trials.get)
        picked.append(best)
        history.append(trials[best])
        top = int(np.argmax(history))
        if len(picked) >= top + 1 + patience:
            break
    return picked[: int(np.argmax(history)) + 1]


@pytest.mark.parametrize(
    ("metric", "plain"),
    [(accuracy, lambda y, p: accuracy_score(y, p.argmax(axis=1))), (log_loss, lambda y, p: -sklearn_log_loss(y, p))],
)
def test_it_picks_what_a_plain_loop_with_sklearns_metric_picks(metric, plain):
    task, members, targets = make(300, 4, 6)
    blend = hillclimb(TaskJudge(task, {"label": metric(task)}), steps=12, patience=3, tolerance=0)
    blend.fit(members, targets)
    picked = pick_plainly(members, targets["label"], plain, 12, 3)
    assert blend.weights == pytest.approx({name: picked.count(name) / len(picked) for name in members})
    np.testing.assert_allclose(blend.predict(members), np.mean([members[name] for name in picked], axis=0), atol=1e-12)


def test_of_many_rows_the_picks_are_the_same_where_the_sample_is_all_rows(monkeypatch):
    """Whichever rows choose the finalists, the pick is between them on all rows; two threads try them."""
    module = sys.modules[hillclimb.__module__]
    task, members, targets = make(300, 4, 6)
    score = TaskJudge(task, {"label": log_loss(task)})
    alone = hillclimb(score, steps=12, tolerance=0)
    alone.fit(members, targets)
    for name, value in {"ALONE_CELLS": 0, "BLOCK_CELLS": 64}.items():
        monkeypatch.setattr(module, name, value)
    threads = hillclimb(score, steps=12, tolerance=0)
    threads.fit(members, targets)
    assert threads.weights == alone.weights and sum(weight > 0 for weight in alone.weights.values()) > 2
    for name, value in {"MOST_ROWS": 100, "SAMPLE_ROWS": 300}.items():
        monkeypatch.setattr(module, name, value)
    many = hillclimb(score, steps=12, tolerance=0)
    many.fit(members, targets)
    assert many.weights == alone.weights
    monkeypatch.setattr(module, "SAMPLE_ROWS", 60)
    sampled = hillclimb(score, steps=12, tolerance=0)
    sampled.fit(members, targets)
    best, found = (score(targets, rule.predict(members)) for rule in (alone, sampled))
    assert abs(found - best) < 0.02


def test_where_the_sample_has_no_score_all_members_are_tried(monkeypatch):
    """The area of a class of which the sample has no row is undefined there."""
    module = sys.modules[hillclimb.__module__]
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 2)
    task, members, targets = make(300, 4, 6)
    rule = hillclimb(TaskJudge(task, {"label": auc(task)}), steps=1)
    rule.fit(members, targets)
    scores = {name: roc_auc_score(targets["label"], values, multi_class="ovr") for name, values in members.items()}
    assert rule.weights[max(scores, key=scores.get)] == 1


def test_by_hand():
    # a alone is right in 2 of 3 rows, b in 1; their mean in all: (.6+.1)/2 < .5 and so on.
    task = Task((Target("label", "binary", ("0", "1"), ("label",)),))
    ones = {"a": np.array([0.6, 0.6, 0.9]), "b": np.array([0.1, 0.7, 0.2])}
    members = {name: np.column_stack([1 - one, one]) for name, one in ones.items()}
    blend = hillclimb(TaskJudge(task, {"label": accuracy(task)}))
    blend.fit(members, {"label": np.array([0, 1, 1])})
    assert blend.weights == {"a": 0.5, "b": 0.5}


def test_of_equals_the_first_is_taken_and_a_single_member_stays_alone():
    task, members, targets = make(100, 3, 1)
    score = TaskJudge(task, {"label": accuracy(task)})
    twins = {"x": members["m0"], "y": members["m0"].copy()}
    blend = hillclimb(score)
    blend.fit(twins, targets)
    assert blend.weights == {"x": 1.0, "y": 0.0}


def test_gains_below_the_tolerance_do_not_count():
    task, members, targets = make(300, 4, 6)
    score = TaskJudge(task, {"label": log_loss(task)})
    blend = hillclimb(score, tolerance=10.0)
    blend.fit(members, targets)
    assert max(blend.weights.values()) == 1.0


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"patience": 0}, {"tolerance": -1.0}])
def test_what_is_out_of_range_is_refused(wrong):
    with pytest.raises(PluginError, match=next(iter(wrong))):
        hillclimb(lambda targets, predictions: 0.0, **wrong)


def test_it_is_quick():
    """20 members, 18 classes: about 3 s for 100,000 rows on one core; a twentieth of the rows here, with room for a busy one."""
    task, members, targets = make(5000, 18, 20)
    blend = hillclimb(TaskJudge(task, {"label": accuracy(task)}))
    started = time.perf_counter()
    blend.fit(members, targets)
    assert time.perf_counter() - started < 3
