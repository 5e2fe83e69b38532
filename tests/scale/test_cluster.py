"""comp.scale.cluster: what a cluster has, what it refuses, and how often ticks pass."""

from __future__ import annotations

import signal
import socket
import time
from typing import Any

import pytest

from comp.errors import CompError, WorkspaceError
from comp.events import EpochFinished, Event, Notice, PredictionProgress, StepFinished, StoreProgress, TrialReported
from comp.scale import cluster
from comp.scale.cluster import Cluster, Node, connect, throttle

TWO = Cluster("10.0.0.1:6379", "a", (Node("a", "10.0.0.1", 4, 0), Node("b", "10.0.0.2", 2, 1)))


def step(fold: str, number: int) -> StepFinished:
    return StepFinished(fold, "train", 0, number, 9, 0.5, 10.0)


def refuse(address: str | None) -> str:
    with pytest.raises(CompError) as caught, connect(address, print):
        pytest.fail("connected")
    return str(caught.value)


def test_a_cluster_counts_what_all_nodes_have() -> None:
    assert (TWO.cpus, TWO.gpus) == (6, 1)
    assert TWO.describe() == "2 nodes with 6 CPUs and 1 GPU"


@pytest.mark.parametrize(("cpu", "gpu"), [(4, 0), (2, 1), (0.5, 0.25)])
def test_what_one_node_has_is_granted(cpu: float, gpu: float) -> None:
    TWO.demand(cpu, gpu, "a fold")


@pytest.mark.parametrize(("cpu", "gpu"), [(5, 0), (4, 1), (1, 2)])
def test_what_only_several_nodes_have_together_is_refused_at_once(cpu: float, gpu: float) -> None:
    with pytest.raises(WorkspaceError, match=r"a fold asks for .*10\.0\.0\.1: 4 CPUs, 10\.0\.0\.2: 2 CPUs and 1 GPU"):
        TWO.demand(cpu, gpu, "a fold")


def test_ticks_pass_a_few_times_a_second_for_each_fold_and_all_else_at_once() -> None:
    told: list[Event] = []
    now = [0.0]
    tell = throttle(told.append, per_s=4, clock=lambda: now[0])
    for number in range(100):  # two seconds
        now[0] = number / 50
        tell(step("0", number))
        tell(step("1", number))
        tell(TrialReported("t0001", number, 0.5))
        tell(Notice(str(number)))
    steps = [event.fold for event in told if isinstance(event, StepFinished)]
    assert 7 <= steps.count("0") == steps.count("1") <= 9
    assert 7 <= sum(isinstance(event, TrialReported) for event in told) <= 9
    assert sum(isinstance(event, Notice) for event in told) == 100


def test_the_last_tick_of_a_count_always_passes() -> None:
    told: list[Event] = []
    tell = throttle(told.append, clock=lambda: 0.0)
    for done in (1, 2, 3):
        tell(StoreProgress("train", done, 3))
        tell(PredictionProgress("0", "test", done, 3))
    assert [event.done for event in told if isinstance(event, StoreProgress)] == [1, 3]
    assert [event.done for event in told if isinstance(event, PredictionProgress)] == [1, 3]
    assert not any(isinstance(event, EpochFinished) for event in told)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert refuse(None) == "a cluster needs Ray: pip install 'comp-kit[ray]'"


@pytest.mark.parametrize("address", ["head", "head:x", "ray://head:10001", ":6379"])
def test_what_is_no_address_is_said(address: str) -> None:
    assert f"--address {address} is no address of a cluster; wanted HOST:PORT" in refuse(address)


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    began = time.monotonic()
    assert f"--address 127.0.0.1:{port} does not answer" in refuse(f"127.0.0.1:{port}")
    assert time.monotonic() - began < 5


def test_one_who_listens_and_is_no_cluster_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.ANSWER_S == 15
    monkeypatch.setattr(cluster, "ANSWER_S", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert refuse(address) == f"--address {address} does not answer as a Ray cluster within 2 s."
    assert time.monotonic() - began < 8


def test_a_cluster_of_other_versions_is_named_with_both() -> None:
    said = (
        "RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.3 was started with:\n    Ray: 2.60.0\n    Python: 3.11.4\n"
    )
    assert cluster.explain_refusal("10.0.0.1:6379", said) == (
        "--address 10.0.0.1:6379 runs Ray 2.50.0 on Python 3.12.1, this machine Ray 2.60.0 on Python 3.11.4; "
        "Ray wants the same on all."
    )


def test_a_cluster_is_joined_and_left_and_the_handlers_stay(two_nodes: Any) -> None:
    ray = pytest.importorskip("ray")
    told: list[Event] = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), connect(two_nodes.address, told.append) as found:
        assert [node.cpus for node in found.nodes] == [1, 1]
        assert found.home in [node.id for node in found.nodes]
        assert signal.getsignal(signal.SIGTERM) is before
        raise ZeroDivisionError
    assert not ray.is_initialized()
    assert told == [Notice(f"Ray cluster at {two_nodes.address}: 2 nodes with 2 CPUs")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "PROBE", "import ray; ray.__version__ = '2.0.0'; " + cluster.PROBE)
        assert "runs Ray 2." in (said := refuse(two_nodes.address))
        assert "this machine Ray 2.0.0" in said
