"""Child processes and their devices: what they inherit, and that what they say is what happens."""

from __future__ import annotations

import os
import threading
from multiprocessing import Pipe
from queue import SimpleQueue

import pytest

from comp.errors import RunError, RunInterrupted, WorkspaceError
from comp.events import FoldStarted, StepFinished
from comp.orders import Order
from comp.scale.crew import Child, Say, carry, count_threads, describe_place, environment, find_missing, listen

ORDER = Order("/workspace", "exp001", "3f9a1c20", "runs", "0")


@pytest.mark.parametrize(
    ("visible", "device", "expected"),
    [(None, "1", "1"), ("2,3", "1", "3"), ("GPU-8932f937, GPU-17c1a2b0", "0", "GPU-8932f937"), ("2,3", "cpu", "")],
)
def test_a_gpu_is_counted_among_those_that_are_visible_here(monkeypatch, visible, device, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert describe_place(device, 2)["CUDA_VISIBLE_DEVICES"] == expected


def test_a_gpu_that_is_hidden_is_an_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(WorkspaceError, match="--gpus 2: CUDA_VISIBLE_DEVICES=2,3 leaves 2 GPUs here"):
        describe_place("2", 2)


def test_children_on_the_cpu_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [count_threads(devices) for devices in (["cpu"], ["cpu", "cpu"], ["0", "cpu"], ["cpu"] * 9, ["0"])] == [8, 4, 8, 1, 8]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert describe_place("cpu", 4)["OMP_NUM_THREADS"] == "4"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # somebody's wish
    assert describe_place("cpu", 4)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in describe_place("0", 4)


def test_the_parents_environment_is_as_before(monkeypatch):
    monkeypatch.setenv("COMP_TEST_OLD", "before")
    with environment({"COMP_TEST_OLD": "within", "COMP_TEST_NEW": "within"}):
        assert os.environ["COMP_TEST_OLD"] == os.environ["COMP_TEST_NEW"] == "within"
    assert os.environ["COMP_TEST_OLD"] == "before" and "COMP_TEST_NEW" not in os.environ


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr("comp.engine.device.device_kind", lambda: "cpu")
    assert find_missing("3").startswith("--gpus 3: there is no such GPU on this machine") and find_missing("cpu") == ""


class Said(list):
    """Stands for the parent."""

    def __call__(self, message) -> None:
        self.append(message)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, {"say": "done"}),
        (RunInterrupted("stopped", lost="the ensemble"), {"say": "interrupted", "lost": "the ensemble"}),
        (RunError("the loss is nan"), {"say": "failed", "why": "the loss is nan", "while_running": True}),
        (WorkspaceError("no folder"), {"say": "failed", "why": "no folder", "while_running": False}),
    ],
    ids=["done", "interrupted", "failed", "not begun"],
)
def test_how_an_order_ended_is_plain_data(monkeypatch, error, expected):
    def carry_out(order, emit, stop):
        assert order == ORDER and not stop()
        emit(FoldStarted("0", 16, 20))
        for step in range(100):
            emit(StepFinished("0", "train", 0, step, 100, 0.5, 800.0))
        if error:
            raise error

    monkeypatch.setattr("comp.work.carry_out", carry_out)
    said = Said()
    assert carry(ORDER, said, threading.Event()) == expected
    assert said[0]["event"]["event"] == "FoldStarted" and said[0]["event"]["held_out_rows"] == 20
    assert 1 <= len(said) - 1 < 20  # ticks are throttled


def test_a_crash_brings_its_traceback(monkeypatch):
    monkeypatch.setattr("comp.work.carry_out", lambda *given: 1 / 0)
    message = carry(ORDER, Said(), threading.Event())
    assert message["say"] == "crashed" and message["why"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in message["trace"]


def test_a_parent_that_is_gone_means_stop():
    ours, theirs = Pipe()
    orders, stopped = SimpleQueue(), threading.Event()
    thread = threading.Thread(target=listen, args=(theirs, orders, stopped))
    thread.start()
    ours.send({"say": "train", "order": {**vars(ORDER)}})
    assert orders.get(timeout=10) == ORDER and not stopped.is_set()
    ours.close()
    thread.join(10)
    assert stopped.is_set() and orders.get(timeout=10) is None
    Say(theirs)({"say": "done"})  # nobody listens any more


def test_a_child_that_is_killed_says_by_what():
    child = Child("cpu", 1, 1)
    child.process.kill()
    assert child.receive() is None and child.describe_end() == "was killed by SIGKILL"
    child.send({"say": "stop"})
    child.close()
