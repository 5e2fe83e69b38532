"""comp.devices: how the ranks of a fold start, what they tell and how they end; and what a manifest may ask of devices."""

from __future__ import annotations

import multiprocessing
import socket
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from comp.devices import describe_steps, find_port, follow, raise_end, train_as_rank, train_on_devices
from comp.engine.device import demand_devices
from comp.errors import CompError, RunError, RunInterrupted
from comp.events import Notice
from comp.orders import Order
from tests.conftest import TINY_MANIFEST

if TYPE_CHECKING:
    from tests.conftest import Sheets, Tiny


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comp.engine.device.os.cpu_count", lambda: 2)


# ---- how they end --------------------------------------------------------------------------------------------------------


class Rank:
    def describe_end(self) -> str:
        return "was killed by SIGSEGV"


CRASHED = {"say": "crashed", "why": "RuntimeError: Connection closed by peer", "trace": "..."}


@pytest.mark.parametrize(
    ("ends", "kind", "words"),
    [
        ({0: CRASHED, 1: {"say": "died"}}, RunError, "device 1 was killed by SIGSEGV"),
        ({1: {"say": "failed", "why": "the loss is nan", "while_running": True}, 0: CRASHED}, RunError, "^the loss is nan$"),
        ({0: {"say": "died"}, 1: {"say": "failed", "why": "no memory", "while_running": True}}, RunError, "^no memory$"),
        ({1: {"say": "failed", "why": "no such file", "while_running": False}, 0: CRASHED}, CompError, "^no such file$"),
        ({0: {"say": "interrupted", "lost": ""}, 1: CRASHED}, RunInterrupted, "stopped"),
        ({1: CRASHED, 0: {**CRASHED, "why": "later"}}, RuntimeError, "device 1: RuntimeError: Connection closed"),
    ],
)
def test_what_ended_a_fold_is_said_not_what_followed_from_it(ends: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        raise_end("0", [Rank(), Rank()], ends)
    assert type(caught.value) is kind


def test_ranks_that_are_done_end_in_nothing() -> None:
    raise_end("0", [Rank(), Rank()], {1: {"say": "done"}, 0: {"say": "done"}})


def test_ranks_start_once_more_where_another_program_took_their_port(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write("exp001", TINY_MANIFEST.replace("threads: 1", "threads: 1, devices: 2"))
    monkeypatch.setattr("comp.devices.GRACE_S", 2.0)
    asked: list[int] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def find() -> int:
            asked.append(find_port() if asked else other.getsockname()[1])
            return asked[-1]

        monkeypatch.setattr("comp.devices.find_port", find)
        result = tiny.run("exp001", only=[0])
    assert len(set(asked)) == 2 and result.scores["folds_done"] == ["0"]


def test_a_port_that_is_lost_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Lost(Rank):
        def __init__(self, number: int, order: Any, port: int) -> None:
            started.append(number)

        def close(self) -> None:
            pass

    monkeypatch.setattr("comp.devices.RankProcess", Lost)
    monkeypatch.setattr("comp.devices.make_order", lambda plan, fold: None)
    monkeypatch.setattr("comp.devices.follow", lambda *given: {0: {**CRASHED, "why": "DistNetworkError: EADDRINUSE"}})
    plan = SimpleNamespace(manifest=SimpleNamespace(values={"train": {"devices": 2}}))
    with pytest.raises(RuntimeError, match="device 0: DistNetworkError: EADDRINUSE"):
        train_on_devices(plan, "0", lambda event: None, lambda: False)
    assert started == [0, 1, 0, 1]


# ---- what they tell ------------------------------------------------------------------------------------------------------


def test_warnings_of_every_rank_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Stuff:
        emit: Any = None

        def train_fold(self, fold: str, stop: Any, ask: Any) -> None:
            for number in (of_rank, "all"):
                self.emit(Notice(f"memory {number}", "warning"))
            self.emit(Notice(f"news {of_rank}"))

        def close(self) -> None:
            closed.append(of_rank)

    closed: list[int] = []
    fabric = SimpleNamespace(world_size=2, global_rank=0)
    plan = SimpleNamespace(manifest=SimpleNamespace(values={"train": {}}), teachers=[])
    monkeypatch.setattr("comp.devices.open_order", lambda order: plan)
    monkeypatch.setattr("comp.engine.ranks.join_ranks", lambda *given: fabric)
    monkeypatch.setattr("comp.material.open_material", lambda *given: Stuff())
    ranks = []
    for of_rank in (0, 1):
        ours, theirs = multiprocessing.Pipe()
        train_as_rank(Order("", "", "", "runs", "0"), of_rank, 0, theirs, lambda: False)
        theirs.send({"say": "done"})
        ranks.append(SimpleNamespace(number=of_rank, pipe=ours, receive=ours.recv))
    told: list[Any] = []
    assert {end["say"] for end in follow(ranks, told.append, lambda: False).values()} == {"done"}
    assert sorted(event.text for event in told) == ["memory 0", "memory 1", "memory all", "news 0"]
    assert closed == [0, 1]


# ---- the manifest --------------------------------------------------------------------------------------------------------


RELEVANT = {
    "epochs": 30,
    "batch_size": 32,
    "precision": "auto",
    "accumulate": 1,
    "clip_norm": 1.0,
    "batch_norm": "learn",
    "ema": "auto",
    "select": "last",
    "patience": None,
    "compile": False,
    "deterministic": False,
}
"""What of `train` was in digests before there were `devices`."""


def test_one_device_renames_no_run_and_two_are_another(sheets: Sheets) -> None:
    def digest(*sets: str) -> str:
        return sheets.load("model: {use: cnn}", *sets).digest({})

    assert digest("train.devices=1") == digest("train.devices=1", "train.strategy=ddp") == digest()
    two = digest("train.devices=2")
    assert len({digest(), two, digest("train.devices=2", "train.sync_batch_norm=true"), digest("train.devices=4")}) == 4
    [stage] = sheets.load("model: {use: cnn}", "train.devices=1").relevant()["stages"]
    assert stage["train"] == RELEVANT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {devices: 0}", "wanted 1 or more"),
        ("train: {devices: 2, strategy: dpp}", "ddp"),
        ("train: {sync_batch_norm: true}", "is for several devices, and train.devices is 1"),
        ("stages: [{name: a, epochs: 1, train: {devices: 2}}]", "is one for the whole fold; it stands in train.devices"),
        ("ensemble: {use: torchensemble}\ntrain: {devices: 2}", "training loop of its own and cannot honour this"),
    ],
)
def test_faults(sheets: Sheets, text: str, words: str) -> None:
    [fault] = sheets.list_faults(f"model: {{use: cnn}}\n{text}")
    assert words in fault


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["train.devices=3"], "this machine has 2 CPU cores, and no GPU; `--set train.devices=1 --set train.accumulate=3`"),
        (["train.devices=2", "train.sync_batch_norm=true"], "train.sync_batch_norm needs CUDA devices"),
    ],
)  # fmt: skip
def test_what_this_machine_lacks_is_an_error_at_once(tiny: Tiny, monkeypatch: Any, sets: list[str], words: str) -> None:
    monkeypatch.setattr("comp.engine.device.device_kind", lambda: "cpu")
    with pytest.raises(CompError, match=words):
        tiny.run("exp001", sets=sets)
    assert tiny.names("RunStarted") == []


def test_one_gpu_is_not_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comp.engine.device.device_kind", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(CompError, match="this machine has 1 GPU;"):
        demand_devices({"devices": 2, "accumulate": 1, "sync_batch_norm": False})


def test_the_notice_names_what_differs_between_stages(sheets: Sheets) -> None:
    manifest = sheets.load(
        "model: {use: cnn}\ntrain: {devices: 4, batch_size: 16}\noptimizer: {use: timm, opt: adamw, lr: 1.0e-3}\n"
        "stages: [{name: a, epochs: 1}, {name: b, epochs: 1, train: {batch_size: 8, accumulate: 2}, optimizer: {lr: 1.0e-4}}]"
    )
    assert describe_steps(manifest) == (
        "4 devices share each fold: a: batches of 16 on each, 64 rows to an update, at a learning rate of 0.001; "
        "b: batches of 8 on each, 2 of them accumulated, 64 rows to an update, at a learning rate of 0.0001 "
        "(as the manifest says, whatever the number of devices)"
    )
