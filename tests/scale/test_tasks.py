"""comp.scale.tasks: what is carried out on a node comes back as if it had been here, and so do its errors."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from comp.errors import CompError, DataError, Fault, ManifestError, RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Event, FoldFinished, Notice, StepFinished
from comp.scale import tasks
from comp.scale.cluster import connect
from comp.scale.tasks import Need, explain_cause, give_out, perform, remake_error

Stop = Callable[[], bool]
Do = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


class Teller(tasks.Teller):
    """The queue is a list in this process."""

    def put(self, record: dict[str, Any]) -> None:
        self.post.append(record)

    def flush(self) -> None:
        self.post.append({"event": "flushed"})


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Do:
    monkeypatch.setattr(tasks, "Teller", Teller)

    def run(work: Callable[[Any, Emit, Stop], Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        post: list[dict[str, Any]] = []
        return perform(work, "order", "fold 0", post, Need()), post

    return run


def count(order: int, emit: Emit, stop: Stop) -> tuple[int, str | None]:
    for step in range(50):
        emit(StepFinished(str(order), "train", 0, step, 50, 0.5, 1.0))
    emit(FoldFinished(str(order), {"accuracy": 0.5}, 0, 1.0))
    return order * order, os.environ.get("OMP_NUM_THREADS")


def tell_much(order: int, emit: Emit, stop: Stop) -> tuple[float, float]:
    """From when to when it ran."""
    began = time.time()
    while time.time() < began + 0.5:
        emit(FoldFinished(str(order), {}, 0, 0.0))
    return began, time.time()


def fail_or_wait(order: str, emit: Emit, stop: Stop) -> str:
    """One task fails when the other has begun; that one goes on until it is asked to end."""
    if order == "fails":
        time.sleep(1.5)
        raise DataError("row 7 is no row")
    give_up = time.monotonic() + 60
    while not stop() and time.monotonic() < give_up:
        time.sleep(0.05)
    emit(Notice("asked to end" if stop() else "waited in vain"))
    raise RunInterrupted("saved")


def raise_fault(error: BaseException) -> Callable[[Any, Emit, Stop], Any]:
    def work(order: Any, emit: Emit, stop: Stop) -> Any:
        raise error

    return work


def test_what_comes_of_an_order_and_where_it_began(do: Do) -> None:
    outcome, records = do(lambda order, emit, stop: [order, stop()])
    assert outcome == {"result": ["order", False]}
    assert records == [
        {"event": "begun", "name": "fold 0", "host": records[0]["host"], "process": os.getpid()},
        {"event": "flushed"},
    ]


@pytest.mark.parametrize(
    "error", [RunError("no number"), WorkspaceError("no folder"), DataError("no row"), RunInterrupted("saved", "an epoch")]
)
def test_an_error_of_ours_is_the_same_here(error: CompError, do: Do) -> None:
    outcome, _ = do(raise_fault(error))
    made = remake_error(**outcome)
    assert type(made) is type(error)
    assert str(error) in str(made)
    if isinstance(error, RunInterrupted):
        assert made.lost == "an epoch"
    else:
        assert str(made).startswith("on node ")


def test_faults_of_a_manifest_come_as_one_text(do: Do) -> None:
    outcome, _ = do(raise_fault(ManifestError([Fault("m.yaml", 3, "loss", "is none")])))
    made = remake_error(**outcome)
    assert isinstance(made, CompError) and made.exit_code == 2
    assert "m.yaml:3  loss: is none" in str(made)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_of_a_node_is_named(number: int, do: Do) -> None:
    outcome, _ = do(raise_fault(OSError(number, os.strerror(number), "/tmp/x")))
    made = remake_error(**outcome)
    assert type(made) is RunError
    assert "on node" in str(made) and "the disk is full (/tmp/x); free some" in str(made)


def test_another_error_is_not_ours_to_explain(do: Do) -> None:
    with pytest.raises(PermissionError):
        do(raise_fault(PermissionError(errno.EACCES, "no")))
    assert explain_cause("fold 0", ZeroDivisionError()) is None
    said = str(explain_cause("fold 0", ModuleNotFoundError("No module named 'timm'")))
    assert said.startswith("fold 0: a node cannot import what it needs (No module named 'timm'); every node needs comp-kit")


def test_orders_on_a_cluster(one_cluster: None) -> None:
    """Everything that needs Ray, in one go: it takes seconds to start."""
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    told: list[Event] = []

    def give(work: Callable, orders: dict[str, Any], need: Need, stop: Stop = lambda: False) -> dict[str, Any]:
        return dict(give_out(cluster, work, orders, need, told.append, stop))

    try:
        with connect(None, told.append) as cluster:
            assert give(count, {"three": 3, "four": 4}, Need()) == {"three": (9, "1"), "four": (16, "1")}
            assert {event.fold for event in told if isinstance(event, FoldFinished)} == {"3", "4"}
            assert 1 <= len([event for event in told if isinstance(event, StepFinished)]) <= 8

            with pytest.raises(WorkspaceError, match=r"three asks for 999 CPUs, and no node of the cluster has that"):
                give(count, {"three": 3}, Need(999))

            with pytest.raises(DataError, match="on node .*: row 7 is no row"):
                give(fail_or_wait, {"one": "fails", "other": "waits"}, Need(0.5))
            assert [event.text for event in told if isinstance(event, Notice)][1:] == ["asked to end"]

            spans = list(give(tell_much, {str(number): number for number in range(3 * int(cluster.cpus))}, Need()).values())
            most = max(sum(began <= at < ended for began, ended in spans) for at, _ in spans)
            assert most <= cluster.cpus, "a task that tells much is not taken for one that waits"

            began = time.monotonic()
            with pytest.raises(RunInterrupted):
                give(fail_or_wait, {"other": "waits"}, Need(), lambda: time.monotonic() > began + 3)
            assert [event.text for event in told if isinstance(event, Notice)][1:] == ["asked to end"] * 2
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
