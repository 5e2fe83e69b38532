"""The clock: every moment belongs to one part, and without --profile to none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import torch

import comp.engine.fold as fold_module
from comp.engine.clock import OFF, Stopwatch
from comp.events import PROFILE_PARTS, EpochProfiled

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

CPU = torch.device("cpu")


class Ticking:
    """Time that goes by only where `wait` says so."""

    def __init__(self) -> None:
        self.at = 100.0

    def wait(self, seconds: float) -> None:
        self.at += seconds

    def __call__(self) -> float:
        return self.at


def spent(clock: Stopwatch) -> tuple[float, dict[str, float]]:
    wall_s, parts = clock.take()
    return wall_s, {name: seconds for name, seconds in parts.items() if seconds}


def test_inner_parts_are_taken_from_outer_ones_and_the_parts_add_up() -> None:
    now = Ticking()
    clock = Stopwatch(CPU, now)
    now.wait(1)
    with clock.part("forward"):
        now.wait(2)
        with clock.part("copy"):
            now.wait(4)
        now.wait(8)
    now.wait(16)
    assert spent(clock) == (31, {"rest": 17, "forward": 10, "copy": 4})
    now.wait(5)
    assert spent(clock) == (5, {"rest": 5}), "each span begins where the one before ended"


def test_waiting_for_items_is_told_from_what_is_done_with_them() -> None:
    now = Ticking()
    clock = Stopwatch(CPU, now)

    def make():
        for number in range(3):
            now.wait(10)
            with clock.part("augment"):
                now.wait(1)
            yield number

    for _ in clock.watch(make(), "data"):
        with clock.part("forward"):
            now.wait(100)
    assert spent(clock) == (333, {"data": 30, "augment": 3, "forward": 300})


def test_an_error_gives_the_time_back_to_the_outer_part() -> None:
    now = Ticking()
    clock = Stopwatch(CPU, now)
    with pytest.raises(ValueError), clock.part("forward"):
        now.wait(3)
        raise ValueError
    now.wait(4)
    assert spent(clock) == (7, {"forward": 3, "rest": 4})


def test_one_that_is_off_hands_on_what_it_is_given() -> None:
    items = [1, 2]
    assert OFF.watch(items, "data") is items and OFF.part("forward") is OFF.part("data") and not OFF.on


def test_a_folds_parts_add_up_to_the_time_between_its_beginning_and_its_end(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case, tale = desk.case("train.ema=true", "tta=[{use: hflip}]"), desk.tale()
    job = case.job(profile=True)
    began = time.perf_counter()
    case.train(job, tale)
    took = time.perf_counter() - began
    told = tale.of(EpochProfiled)
    assert [(event.span, event.epoch) for event in told] == [("start", -1), ("epoch", 0), ("epoch", 1), ("end", -1)]
    for event in told:
        assert set(event.parts) == set(PROFILE_PARTS) and min(event.parts.values()) >= 0
        assert sum(event.parts.values()) == pytest.approx(event.wall_s, abs=1e-9)
    for event in told[1:3]:
        did = ("data", "forward", "backward", "optimizer", "validation", "checkpoint")
        assert all(event.parts[name] > 0 for name in did) and event.parts["prediction"] == event.parts["exchange"] == 0
        assert (event.device, event.steps, event.workers) == ("cpu", 5, 0)
    end = told[-1].parts
    assert end["prediction"] > 0 and end["forward"] == end["backward"] == end["data"] == 0
    # Nothing lies between two spans; before the first and after the last there is next to nothing.
    assert took - 0.25 < sum(event.wall_s for event in told) < took


@pytest.mark.slow
def test_measuring_changes_no_bit(desk: Desk) -> None:
    case = desk.case("train.epochs=1")
    plain, measured = case.train(), case.train(case.job(profile=True))
    assert case.files(plain[0]) == case.files(measured[0])
