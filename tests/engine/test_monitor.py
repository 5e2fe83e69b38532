"""train.monitor: what chooses an epoch, ends a stage and lowers the rate: the metric, or the held-out loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from comp.api import Metric
from comp.engine.answers import Answers
from comp.events import EpochFinished, Notice

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

RISING = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Has validation answer these losses and scores, one after another."""

    def play(losses, scores=RISING) -> None:
        answers = iter(zip(losses, scores, strict=False))
        validate = Answers.validate

        def validated(self, network, features=None):
            _, _, outputs = validate(self, network, features)
            loss, score = next(answers)
            return loss, {"accuracy": score}, outputs

        monkeypatch.setattr(Answers, "validate", validated)

    return play


@pytest.mark.parametrize(("monitor", "epochs", "best"), [("loss", 4, 1), ("metric", 6, 5)])
def test_patience_and_the_best_epoch(desk: Desk, script, monitor: str, epochs: int, best: int) -> None:
    script([3.0, 1.0, 2.0, 2.5, 0.9, 0.8])
    case, tale = desk.case("train.epochs=6", "train.patience=2", f"train.monitor={monitor}"), desk.tale()
    _, record = case.train(tale=tale)
    assert (record["epochs"], record["best_epoch"]) == (epochs, best)
    assert record["scores"] == {"accuracy": RISING[best]}
    ends = [event.text for event in tale.of(Notice) if "no better" in event.text]
    assert ends == (["fold 0: no better held-out loss in 2 epochs; stage 'train' ends"] if monitor == "loss" else [])


@pytest.mark.parametrize(("monitor", "rates"), [("loss", [1.0, 1.0, 0.5, 0.25]), ("metric", [1.0, 1.0, 1.0, 1.0])])
def test_a_plateau_follows_it(desk: Desk, script, monitor: str, rates: list[float]) -> None:
    script([1.0, 2.0, 3.0, 0.5])
    plateau = "scheduler={use: plateau, factor: 0.5, patience: 0}"
    case, tale = desk.case("train.epochs=4", plateau, "optimizer.lr=1e-3", f"train.monitor={monitor}"), desk.tale()
    case.train(tale=tale)
    seen = [event.lr for event in tale.of(EpochFinished)]
    assert seen == pytest.approx([1e-3 * rate for rate in rates])


def test_with_a_metric_that_falls_the_lowest_score_is_the_best(desk: Desk, script) -> None:
    script([1.0] * 5, [0.9, 0.7, 0.4, 0.6, 0.8])
    case = desk.case("train.epochs=5", "train.select=best")
    _, record = case.train(case.job(metrics={"label": Metric(lambda targets, predictions: 0.0, greater_is_better=False)}))
    assert record["best_epoch"] == 2


def test_a_stage_with_another_monitor_begins_a_best_of_its_own(desk: Desk, script) -> None:
    script([0.1, 0.1, 5.0, 4.0, 4.5], [0.9, 0.1, 0.2, 0.3, 0.4])
    stages = "stages=[{name: one, epochs: 2}, {name: two, epochs: 3, start: best, train: {monitor: loss}}]"
    _, record = desk.case(stages, "train.select=best").train()
    assert record["best_epoch"] == 3  # the first stage's loss of 0.1 was not what it was judged by


def test_full_holds_nothing_out_and_has_no_best(desk: Desk) -> None:
    case = desk.case("train.patience=1", "train.monitor=loss")
    _, record = case.train(case.job("full"))
    assert (record["best_epoch"], record["epochs"]) == (-1, 2)
