"""How many folds at once a GPU's memory holds, worked out by hand, and who is started where then."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

import pytest
import torch

from comp.cli import main
from comp.orders import Order
from comp.scale.crew import Child, Look, listen, look
from comp.scale.room import Room, describe_room, find_crowded, limit_places, merge_rooms, spread_places
from comp.scale.several import run_several

GIB = 2**30
ORDER = Order("/workspace", "exp001", "3f9a1c20", "runs", "0")


def test_what_fits_is_the_first_and_as_many_further_processes_as_there_is_memory_for() -> None:
    # 20 free to the first; each further one takes 3 and its own half: 3 + 4 * 3.5 = 17, and a fifth would make 20.5.
    assert Room(3 * GIB, GIB / 2, 20 * GIB).folds == 5 and Room(3 * GIB, GIB / 2, 20.5 * GIB).folds == 6
    assert Room(30 * GIB, GIB, 20 * GIB).folds == 1
    assert merge_rooms([Room(3, 1, 20), Room(5, 2, 19)]) == Room(5, 2, 19)
    text = describe_room("1", Room(3 * GIB, GIB / 2, 20 * GIB), 7, 5)
    assert text == "GPU 1: a fold takes 3.0 GiB, and 20.0 GiB are free: 5 folds at once there, not 7"


def test_places_are_spread_over_the_devices_in_turn() -> None:
    assert spread_places(("0", "1"), 2, 9) == ["0", "1", "0", "1"] and spread_places(("0", "1"), 2, 3) == ["0", "1", "0"]
    assert spread_places(("0", "cpu"), "auto", 4) == ["0", "cpu", "0", "0"]
    assert spread_places(("0", "0", "1"), None, 2) == ["0", "0"]
    assert find_crowded(["0", "1", "0", "cpu", "cpu"]) == ["0"]
    rooms = {"0": Room(3, 1, 7)}  # two
    assert limit_places(["0", "1", "0", "0", "cpu", "cpu"], rooms) == ["0", "1", "0", "cpu", "cpu"]
    assert limit_places(["0", "0", "1", "1"], rooms) == ["0", "0", "1"], "where nobody knows, one"


def test_the_command_wants_gpus_and_a_number(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--per-gpu", "2"], ["--per-gpu", "auto", "--gpus", "cpu,cpu"], ["--gpus", "0", "--per-gpu", "0"]):
        assert main(["run", "exp001", *words]) == 2
    said = capsys.readouterr().err
    assert "as in --gpus 0 --per-gpu auto" in said and "'0' is no number of folds; wanted 1 or more, or auto" in said


def test_a_child_is_told_to_look_and_how_many_cores_are_its_own(monkeypatch) -> None:
    monkeypatch.setenv("COMP_CORES", "9")
    ours, theirs = multiprocessing.Pipe()
    orders: SimpleQueue[Any] = SimpleQueue()
    thread = threading.Thread(target=listen, args=(theirs, orders, threading.Event()))
    thread.start()
    for message in ({"say": "cores", "cores": 3}, {"say": "look", "order": asdict(ORDER)}):
        ours.send(message)
    assert orders.get(timeout=10) == Look(ORDER)
    assert os.environ["COMP_CORES"] == "3"
    ours.close()
    thread.join(10)


def test_a_child_without_a_gpu_or_a_workspace_says_so(tiny) -> None:
    message = look(ORDER, lambda message: None, threading.Event())
    assert message["room"] is None and "/workspace" in message["why"]


class Actor(Child):
    """A child without a process: it finds the memory that `found` names for its device (None: it dies), and its folds fail."""

    made: list[str] = []

    def __init__(self, device: str, found: Callable[[str], Room | str | None]) -> None:
        self.device, self.found, self.order, self.looking, self.ready = device, found, None, None, False
        self.rooms, self.blind, self.cores = [], "", []
        self.pipe, self.there = multiprocessing.Pipe()
        self.there.send({"say": "ready", "missing": ""})
        Actor.made.append(device)

    def look(self, order: Order) -> None:
        self.looking, found = order, self.found(self.device)
        if found is None:
            self.there.close()
        elif isinstance(found, str):
            self.there.send({"say": "room", "room": None, "why": found})
        else:
            self.there.send({"say": "room", "room": asdict(found)})

    def share_cores(self, cores: int) -> None:
        self.cores.append(cores)

    def give(self, order: Order) -> None:
        self.order = order
        self.there.send({"say": "failed", "why": "enough seen", "while_running": True})

    def describe_end(self) -> str:
        return "was killed by SIGKILL"

    def close(self) -> None:
        self.pipe.close()


@pytest.fixture
def places(tiny, monkeypatch) -> Callable[..., tuple[list[str], list[Any]]]:
    """(devices, per_gpu, found) -> where children were started, and the notices, of a run of four folds."""

    def start(devices, per_gpu, found, names=("exp001",)) -> tuple[list[str], list[Any]]:
        Actor.made, told = [], []
        monkeypatch.setattr("comp.scale.side_by_side.Child", lambda device, *given: Actor(device, found))
        with pytest.raises(Exception, match="enough seen"):
            run_several(tiny.project, [*names], devices, per_gpu=per_gpu, emit=told.append, folds=4)
        return Actor.made, [event for event in told if type(event).__name__ == "Notice"]

    return start


def test_as_many_children_as_there_is_memory_for(places) -> None:
    made, told = places(("0",), "auto", lambda device: Room(3 * GIB, GIB, 12 * GIB))
    assert made == ["0", "0", "0"]
    assert [(event.text, event.level) for event in told][:2] == [
        ("GPU 0: a fold takes 3.0 GiB, and 12.0 GiB are free: 3 folds at once there", "info"),
        ("3 folds at a time on GPU 0", "info"),
    ]
    made, told = places(("0", "1"), 2, lambda device: Room(3 * GIB, GIB, (4 if device == "0" else 9) * GIB))
    assert sorted(made) == ["0", "1", "1"] and told[0].level == "warning"
    assert told[0].text == "GPU 0: a fold takes 3.0 GiB, and 4.0 GiB are free: one fold at once there, not 2"
    made, told = places(("0", "0"), None, lambda device: Room(GIB, GIB, 9 * GIB))
    assert made == ["0", "0"] and told[0].level == "info"
    made, told = places(("0", "1"), None, lambda device: Room(GIB, GIB, 9 * GIB))
    assert made == ["0", "1"] and len(told) == 1, "nobody looks where nothing is shared"


def test_where_it_cannot_be_known_there_is_one(places) -> None:
    made, told = places(("0",), 3, lambda device: "the ensemble 'x' has a training loop of its own")
    assert made == ["0"] and told[0].level == "warning"
    assert told[0].text.endswith("what memory it takes cannot be known before: the ensemble 'x' has a training loop of its own")
    made, told = places(("0",), 3, lambda device: None)
    assert made == ["0", "0"] and told[0].text.endswith("the process that tried died"), "another one in its place"


def test_what_only_the_second_of_two_experiments_takes_is_not_enough(places, tiny) -> None:
    tiny.write("exp002")
    found = iter([None, Room(GIB, GIB, 90 * GIB)])  # the first kills the process that tries it
    made, told = places(("0",), 3, lambda device: next(found), ("exp001", "exp002"))
    assert made == ["0", "0"] and told[0].text.endswith("the process that tried died")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_two_folds_share_a_gpu(tiny) -> None:
    told: list[Any] = []
    results = run_several(tiny.project, ["exp001"], ("0",), per_gpu="auto", emit=told.append)
    assert results["exp001"].complete
    assert any("a fold takes" in event.text for event in told if type(event).__name__ == "Notice")
