"""comp.engine.ranks: two processes that train one fold do what one does that accumulates two batches."""

from __future__ import annotations

import copy
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.numpy import load_file
from torch import nn

from comp.api import ImageSpec
from comp.engine.augment import AugmentPlan
from comp.engine.checkpoint import Progress
from comp.engine.gather import renew_norms
from comp.engine.ranks import ASK_EVERY, Ranks
from comp.engine.stage import Stage
from comp.errors import CompError, RunError, RunInterrupted
from comp.events import EpochFinished, Event, FoldFinished, FoldStarted, Notice, PredictionProgress, RunStarted, StepFinished
from comp.predictions import read_raw

if TYPE_CHECKING:
    from comp.engine.network import Network
    from tests.conftest import Tiny
    from tests.engine.conftest import Case, Desk

PLAIN = """\
model: {use: cnn, widths: [8, 8], hidden: 16, batch_norm: false, dropout: 0.2}
image: {size: 16}
augment: [{use: light, flip: false}]
mix: {use: mixup, alpha: 0.4}
optimizer: {use: timm, opt: adamw, lr: 3.0e-3}
train: {epochs: 30, batch_size: 6, workers: 0, threads: 1, ema: true, devices: 1}
"""
"""30 rows to a fold: 5 batches an epoch, so that in the last turn one of two ranks has none."""

STAGES = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
seeds: [0, 1]
ensemble: {use: swa, start: 0.4}
train: {batch_size: 4, workers: 0, threads: 1, ema: false, devices: 1}
stages:
  - {name: head, epochs: 2, freeze: backbone, sampler: {use: imbalanced}}
  - {name: all, epochs: 3, sampler: {use: pk, classes: 2, images: 2}, objective: {use: sam}}
"""
"""Stored features, batch norm, samplers of their own, two passes a step, weights gathered over epochs, two seeds."""


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comp.engine.device.os.cpu_count", lambda: 2)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert [child.name for child in multiprocessing.active_children() if "rank" in child.name] == []


def kill_rank(number: int) -> None:
    [process] = [child for child in multiprocessing.active_children() if child.name == f"comp rank {number}"]
    os.kill(process.pid, signal.SIGKILL)


class At:
    """Collects events, and does something at the first of a kind (from an epoch on)."""

    def __init__(self, kind: type[Event], act: Callable[[], None], epoch: int = 0) -> None:
        self.events: list[Any] = []
        self.kind, self.act, self.epoch, self.done = kind, act, epoch, False

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if not self.done and isinstance(event, self.kind) and event.epoch >= self.epoch:
            self.done = True
            self.act()


def train(tiny: Tiny, name: str, emit: Callable[[Event], None] | None = None) -> Path:
    """Train fold 0 and return its folder."""
    from comp.run import run_experiment

    result = run_experiment(tiny.project, name, only=[0], emit=emit or tiny.events.append)
    return result.folder / "fold0"


def outputs(folder: Path, file: str = "oof.parquet") -> dict[tuple[str, int], np.ndarray]:
    raw = read_raw(folder / file)
    found = {(row, int(seed)): values for row, seed, values in zip(raw.row_ids, raw.seeds, raw.outputs, strict=True)}
    assert len(found) == len(raw.row_ids)  # each row once
    return found


def assert_same(one: Path, two: Path, tolerance: float) -> None:
    for file in ("oof.parquet", "test.parquet"):
        a, b = outputs(one, file), outputs(two, file)
        assert a.keys() == b.keys() and a
        assert max(float(np.abs(a[key] - b[key]).max()) for key in a) <= tolerance


def of(events: list[Any], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# ---- two processes -------------------------------------------------------------------------------------------------------


def test_two_devices_do_what_accumulating_two_batches_does_and_go_on_where_they_were_stopped_or_killed(tiny: Tiny) -> None:
    tiny.write("exp001", PLAIN.replace("devices: 1", "accumulate: 2"))
    tiny.write("exp002", PLAIN.replace("devices: 1", "devices: 2"))
    one = train(tiny, "exp001")
    alone = list(tiny.events)
    tiny.events.clear()
    two = train(tiny, "exp002")
    assert_same(one, two, 1e-4)
    assert json.loads((two / "fold.json").read_text())["scores"] == json.loads((one / "fold.json").read_text())["scores"]
    check_what_is_told(alone, list(tiny.events))

    whole = {file: (two / file).read_bytes() for file in ("oof.parquet", "test.parquet", "last.safetensors")}
    for file in two.iterdir():
        file.unlink()
    stopped = At(EpochFinished, lambda: os.kill(os.getpid(), signal.SIGINT), epoch=2)
    with pytest.raises(RunInterrupted, match="everything is saved"):
        train(tiny, "exp002", stopped)
    assert len(of(stopped.events, EpochFinished)) < 30 and (two / "last.ckpt").exists()
    killed = At(EpochFinished, lambda: kill_rank(1))
    with pytest.raises(RunError, match=r"fold 0: the process of device 1 was killed by SIGKILL.*running again goes on"):
        train(tiny, "exp002", killed)
    assert of(killed.events, FoldFinished) == [] and (two / "last.ckpt").exists()
    train(tiny, "exp002")
    assert of(tiny.events, FoldStarted)[-1].resumed_epoch >= 3
    assert {file: (two / file).read_bytes() for file in whole} == whole


def check_what_is_told(alone: list[Any], shared: list[Any]) -> None:
    [started] = of(shared, RunStarted)
    assert started.device == "2 x cpu"
    [notice] = [event.text for event in of(shared, Notice) if "devices" in event.text]
    assert "2 devices share each fold: batches of 6 on each, 12 rows to an update, at a learning rate of 0.003" in notice
    epochs = of(shared, EpochFinished)
    for one, two in zip(of(alone, EpochFinished), epochs, strict=True):
        assert two.scores == one.scores and two.lr == one.lr
        assert two.train_loss == pytest.approx(one.train_loss, abs=1e-4)
        assert two.held_out_loss == pytest.approx(one.held_out_loss, abs=1e-4)
    assert {event.steps for event in of(shared, StepFinished)} == {5}
    assert max(event.step for event in of(shared, StepFinished)) == 5
    assert {event.total for event in of(shared, PredictionProgress) if event.what == "held-out"} == {30}


def test_stages_samplers_seeds_and_gathered_weights_are_those_of_one_process(tiny: Tiny) -> None:
    tiny.write("exp001", STAGES.replace("devices: 1", "accumulate: 2"))
    tiny.write("exp002", STAGES.replace("devices: 1", "devices: 2"))
    one, two = train(tiny, "exp001"), train(tiny, "exp002")
    assert_same(one, two, 1e-4)
    for seed in ("seed0", "seed1"):
        a, b = load_file(one / seed / "last.safetensors"), load_file(two / seed / "last.safetensors")
        assert a.keys() == b.keys()
        assert all(np.allclose(a[name], b[name], atol=1e-4) for name in a if "num_batches" not in name)
    records = [json.loads((folder / "fold.json").read_text()) for folder in (one, two)]
    assert records[0]["gathered"] == records[1]["gathered"] and records[0]["scores"] == records[1]["scores"]


# ---- what they tell each other -------------------------------------------------------------------------------------------


class Table:
    """Threads in place of processes: what each puts on it, all take off."""

    def __init__(self, count: int) -> None:
        self.barrier, self.laid = threading.Barrier(count), [None] * count

    def exchange(self, rank: int, given: Any) -> list[Any]:
        self.laid[rank] = given
        self.barrier.wait(10)
        found = list(self.laid)
        self.barrier.wait(10)
        return found


class Seat:
    """A rank's Fabric at the table."""

    device = torch.device("cpu")

    def __init__(self, table: Table, rank: int) -> None:
        self.table, self.global_rank, self.world_size = table, rank, len(table.laid)

    def all_reduce(self, given: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return sum(self.table.exchange(self.global_rank, given))

    def broadcast(self, given: Any, src: int = 0) -> Any:
        return self.table.exchange(self.global_rank, given)[src]


class Trainer(Seat):
    """A rank's Fabric that trains, too."""

    def __init__(self, seat: Seat, real: Fabric) -> None:
        super().__init__(seat.table, seat.global_rank)
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def seat_stage(case: Case, ranks: Ranks, network: Network) -> Stage:
    """A stage of this rank, on all rows."""
    alone = case.stage(network)
    return Stage(alone.context, network, Trainer(ranks.fabric, case.fabric), alone.rows)


def seat(act: Callable[[Ranks], Any], count: int = 2) -> list[Any]:
    """What each of so many ranks gets from the act."""
    table, found = Table(count), [None] * count

    def sit(rank: int) -> None:
        try:
            found[rank] = act(Ranks(Seat(table, rank)))
        except CompError as error:
            found[rank] = error

    threads = [threading.Thread(target=sit, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_gradients_are_summed_none_stays_none_and_frozen_norms_are_those_of_rank_0() -> None:
    def act(ranks: Ranks) -> nn.Module:
        network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1).eval(), nn.Linear(1, 1, bias=False))
        network[0].weight.requires_grad_(False)
        network[1].running_mean.fill_(10.0 + ranks.rank)
        network[0].bias.grad = torch.full((1,), 1.0 + ranks.rank)
        if ranks.rank == 1:
            network[1].weight.grad = torch.full((1,), 5.0)
        ranks.sum_gradients(network, stop=ranks.rank == 1, trained=True)
        assert ranks.stopped and ranks.stops(lambda: False)
        return network

    for network in seat(act):
        assert network[0].weight.grad is None and network[2].weight.grad is None and network[1].bias.grad is None
        assert network[0].bias.grad.tolist() == [3.0] and network[1].weight.grad.tolist() == [5.0]
        assert network[1].running_mean.tolist() == [10.0]


def test_running_statistics_are_the_mean_over_those_that_had_rows_and_other_buffers_are_rank_0s() -> None:
    def act(ranks: Ranks) -> nn.Module:
        network = nn.BatchNorm1d(1)
        network.register_buffer("other", torch.full((1,), 0.1 + ranks.rank))
        network.running_mean.fill_((1.0, 2.0, 99.0)[ranks.rank])
        network.running_var.fill_((3.0, 5.0, 99.0)[ranks.rank])
        network.num_batches_tracked += 4 + ranks.rank
        ranks.sum_gradients(network, stop=False, trained=ranks.rank < 2)
        return network

    for rank, network in enumerate(seat(act, 3)):
        assert network.running_mean.tolist() == [1.5] and network.running_var.tolist() == [4.0]
        assert network.other.tolist() == torch.tensor([0.1]).tolist() and network.num_batches_tracked.item() == 4 + rank


def test_an_epoch_moves_running_statistics_one_step_a_turn(desk: Desk) -> None:
    """Three batches: in the second turn, rank 1 has none. At so low a learning rate only the statistics move."""
    case = desk.case("augment=[]", "optimizer.lr=1.0e-12", "train.ema=false", "train.batch_size=8", "model.dropout=0.0", size=24)
    begun, real = case.network(), case.stage()
    assert real.batches == 3 and sum(isinstance(part, nn.BatchNorm2d) for part in begun.modules()) > 1

    def act(ranks: Ranks) -> dict[str, torch.Tensor]:
        stage = seat_stage(case, ranks, copy.deepcopy(begun))
        stage.train_epoch(Progress())
        return {name: value for name, value in stage.network.state_dict().items() if "running" in name}

    one, other = seat(act)
    batches = [real.make_batch(*batch).images for batch in real.loader.epoch(real.draw_order(0), (*real.context.key, 0))]
    first, second = copy.deepcopy(begun).train(), copy.deepcopy(begun).train()
    first(batches[0], None), second(batches[1], None)
    for a, b in zip(first.buffers(), second.buffers(), strict=True):
        a.copy_((a + b) / 2 if a.is_floating_point() else a)
    first(batches[2], None)
    wanted = first.state_dict()
    assert all(torch.equal(value, other[name]) and torch.allclose(value, wanted[name], atol=1e-6) for name, value in one.items())


def test_a_pass_that_every_rank_makes_whole_ends_for_all_when_rank_0_is_told_to_stop(desk: Desk) -> None:
    case = desk.case("augment=[]", "train.batch_size=4")

    def act(ranks: Ranks) -> None:
        stage = seat_stage(case, ranks, case.network())
        stage.context = replace(stage.context, stop=lambda: ranks.leads)
        renew_norms(stage.network, stage)

    assert all(isinstance(found, RunInterrupted) for found in seat(act))


def test_ranks_agree_on_a_stop_once_in_so_many_batches() -> None:
    def act(ranks: Ranks) -> list[bool]:
        calls = itertools.count()
        stop = ranks.ask_together(lambda: next(calls) > 0)  # rank 0 is asked twice
        return [stop() for _ in range(ASK_EVERY + 2)]

    assert seat(act) == [[False] * ASK_EVERY + [True, False]] * 2
    assert seat(act, 1)[0][:2] == [False, True]


def test_the_sums_of_an_epoch_are_joined_and_go_on_at_rank_0() -> None:
    def act(ranks: Ranks) -> Progress:
        progress = Progress(loss_sum=4.0, rows=2, part_sums={"label": 4.0})
        ranks.start_sums(progress)
        progress.loss_sum, progress.rows = progress.loss_sum + 1.0, progress.rows + 3
        if ranks.rank == 0:
            progress.part_sums = {"label": 5.0}
        ranks.join_sums(progress)
        return progress

    for progress in seat(act):
        assert (progress.loss_sum, progress.rows, progress.part_sums) == (6.0, 8, {"label": 5.0})


@pytest.mark.parametrize(("rows", "count"), [(10, 2), (9, 3), (3, 2), (7, 1)])
def test_each_row_is_predicted_once_in_the_batches_of_one_process(desk: Desk, rows: int, count: int) -> None:
    known, asked = desk.case(size=20).rows.take(np.arange(rows)), []

    def ask(own: Any) -> dict[str, np.ndarray]:
        asked.append(own.positions.tolist())
        return {"plain": own.positions[:, None].astype(np.float32)}

    found = seat(lambda ranks: ranks.predict(known, 4, ask)["plain"][:, 0].tolist(), count)
    assert found == [list(range(rows))] * count
    assert sorted(sum(asked, [])) == list(range(rows))
    batches = [own[start : start + 4] for own in asked for start in range(0, len(own), 4)]
    assert sorted(batches) == [list(range(rows))[start : start + 4] for start in range(0, rows, 4)]


def test_a_prediction_that_one_of_them_was_asked_to_stop_ends_for_all(desk: Desk) -> None:
    known = desk.case(size=20).rows

    def act(ranks: Ranks) -> Any:
        def ask(own: Any) -> dict[str, np.ndarray]:
            if ranks.rank == 1:
                raise RunInterrupted("stopped")
            return {"plain": np.zeros((len(own), 1), np.float32)}

        return ranks.predict(known, 4, ask)

    assert all(isinstance(found, RunInterrupted) for found in seat(act))


def test_every_so_many_th_batch_is_what_it_is_among_all(desk: Desk) -> None:
    case = desk.case("train.batch_size=8", size=40)
    loader, order = case.stage().loader, np.random.default_rng(0).integers(0, 40, 37)
    assert isinstance(loader.recipe.build_augment, AugmentPlan) and isinstance(case.image, ImageSpec)
    whole = list(loader.epoch(order, (1, 2)))
    for first in (0, 1):
        part = list(loader.epoch(order, (1, 2), first, 2))
        assert len(part) == len(whole[first::2])
        for one, two in zip(part, whole[first::2], strict=True):
            assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
