"""What a fold's network answers is judged by its own losses and the deciding metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from comp.api import Metric
from comp.engine.answers import Answers, build_views

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def test_held_out_loss_and_score_by_hand(desk: Desk) -> None:
    case = desk.case("loss.smoothing=0.0", plain=True)
    job = case.job()
    loss, scores, outputs = Answers(job, case.fabric, desk.tale()).validate(case.network())
    targets = job.held_out.targets["label"]
    logits = outputs.astype(np.float64)
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(odds[np.arange(20), targets]).mean(), rel=1e-6)
    assert scores == {"accuracy": pytest.approx((logits.argmax(axis=1) == targets).mean())}


def test_the_metric_is_given_probabilities_by_the_losss_link(desk: Desk) -> None:
    given = []
    metric = Metric(lambda targets, values: given.append(values) or 0.5)
    case = desk.case("loss={use: bce}", plain=True)
    _, _, outputs = Answers(case.job(metrics={"label": metric}), case.fabric, desk.tale()).validate(case.network())
    odds = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    assert np.allclose(given[0], odds / odds.sum(axis=1, keepdims=True))


def test_without_held_out_rows_there_is_nothing_to_judge(desk: Desk) -> None:
    case = desk.case()
    for job in (case.job("full"), case.job(held_out=case.rows.take(np.zeros(0, dtype=np.int64)))):
        assert Answers(job, case.fabric, desk.tale()).validate(case.network()) == (None, {}, None)


def test_an_undefined_score_is_no_score(desk: Desk) -> None:
    case = desk.case()
    job = case.job(metrics={"label": Metric(lambda targets, values: float("nan"))})
    loss, scores, _ = Answers(job, case.fabric, desk.tale()).validate(case.network())
    assert loss > 0 and scores == {}


def test_views_are_the_manifests_tta(desk: Desk) -> None:
    case = desk.case("tta=[{use: hflip}]")
    assert list(build_views(case.manifest, case.image)) == ["hflip"]
    assert build_views(desk.case("tta=[]").manifest, case.image) == {}
