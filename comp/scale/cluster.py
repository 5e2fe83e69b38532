"""A Ray cluster: joined or started here, asked what it has, and always left again.

What is done on it is the business of whoever holds the `Cluster`. Ray is an extra; it is imported inside functions.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from comp.errors import CompError, WorkspaceError
from comp.events import Emit, Event, Notice, Tick

ANSWER_S = 15.0
TICKS_PER_S = 4.0
HERE = "local"
"""The address of a cluster that is started here, for as long as it is used."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # warns of nothing to come
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else what befalls a node is printed into the live view, or into JSON
    "RAY_task_oom_retries": "3",  # else a task that the memory monitor kills is begun again without end
}
"""Of Ray, which reads them when it is imported."""

PROBE = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. `host`: its address; `cpus`, `gpus`: what Ray may use of it."""

    id: str
    host: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Cluster:
    """A cluster while this process belongs to it.

    Attributes:
        address: what others join it by.
        home: the id of the node that this process runs on.
    """

    address: str
    home: str
    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> float:
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    def demand(self, cpu: float, gpu: float, what: str) -> None:
        """Raises WorkspaceError: no node has so many CPUs and GPUs, so that `what` would wait for ever."""
        if any(node.cpus >= cpu and node.gpus >= gpu for node in self.nodes):
            return
        nodes = ", ".join(f"{node.host}: {describe_resources(node.cpus, node.gpus)}" for node in self.nodes)
        raise WorkspaceError(f"{what} asks for {describe_resources(cpu, gpu)}, and no node of the cluster has that ({nodes}).")

    def describe(self) -> str:
        nodes = "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"
        return f"{nodes} with {describe_resources(self.cpus, self.gpus)}"


def describe_resources(cpu: float, gpu: float) -> str:
    """`2 CPUs`, `0.5 CPUs and 1 GPU`."""
    parts = [f"{cpu:g} {'CPU' if cpu == 1 else 'CPUs'}", *([f"{gpu:g} {'GPU' if gpu == 1 else 'GPUs'}"] if gpu else [])]
    return " and ".join(parts)


@contextmanager
def connect(address: str | None, emit: Emit, *, runtime_env: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """Join the cluster at `address` (HOST:PORT, or `auto`: the one that runs on this machine), or start one here; leave it at
    the end, whatever happens.

    Args:
        runtime_env: Ray's, of every task.

    Raises:
        CompError: Ray is not installed.
        WorkspaceError: nothing answers within 15 s, or another version of Ray or Python does.
    """
    ray = import_ray()
    if address is not None:
        prove_address(address)
    try:
        with keep_handlers():
            ray.init(
                address=address or HERE,
                runtime_env=dict(runtime_env or {}),
                log_to_driver=False,
                logging_level="ERROR",
                **({} if address else {"include_dashboard": False}),
            )
        cluster = look_around(ray)
        emit(Notice(f"Ray cluster {'at ' + cluster.address if address else 'started here'}: {cluster.describe()}"))
        yield cluster
    except (ConnectionError, RuntimeError, ValueError) as error:
        if ray.is_initialized():
            raise
        raise WorkspaceError(explain_refusal(address, str(error))) from error
    finally:
        with keep_handlers():
            ray.shutdown()


def import_ray() -> Any:
    """Raises: CompError: Ray is not installed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise CompError("a cluster needs Ray: pip install 'comp-kit[ray]'") from error
    return ray


def get_apart(reference: Any) -> Any:
    """What an actor answers, for a task. One that waits by itself loses its CPUs to another, which then competes with it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(import_ray().get, reference).result()


def look_around(ray: Any) -> Cluster:
    """The cluster that this process has joined."""
    context = ray.get_runtime_context()
    found = [
        Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray.nodes()
        if node["Alive"]
    ]
    return Cluster(context.gcs_address, context.get_node_id(), tuple(found))


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Ray takes SIGTERM for itself; the run that asks whether to stop wants it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that is not Python's
                signal.signal(number, handler)


# ---- an address that is no cluster's -------------------------------------------------------------------------------------


def prove_address(address: str) -> None:
    """Ask in another process: Ray's own client tries for minutes, and then ends the process that it is in.

    Raises:
        WorkspaceError: as connect.
    """
    deadline = time.monotonic() + ANSWER_S
    if address != "auto":
        knock(address)
    left_s = max(1.0, deadline - time.monotonic())
    try:
        asked = subprocess.run(
            [sys.executable, "-c", PROBE, address], capture_output=True, text=True, timeout=left_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorkspaceError(f"{name_address(address)} does not answer as a Ray cluster within {ANSWER_S:g} s.") from error
    if asked.returncode:
        raise WorkspaceError(explain_refusal(address, asked.stderr))


def knock(address: str) -> None:
    """Raises: WorkspaceError: this is no HOST:PORT, or nobody listens there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise WorkspaceError(
            f"{name_address(address)} is no address of a cluster; wanted HOST:PORT as `ray start --head` prints it, or auto "
            "(the cluster of this machine). comp itself runs on a node of the cluster."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise WorkspaceError(f"{name_address(address)} does not answer ({why}); is the cluster running there?") from error


def explain_refusal(address: str | None, said: str) -> str:
    """What Ray said when it was to start or to join, as one message."""
    lines = [line.strip() for line in said.strip().splitlines() if line.strip()]
    if "Version mismatch" in said:
        facts = [line for line in lines if line.startswith(("Ray:", "Python:"))]
        theirs, ours = " on ".join(facts[:2]), " on ".join(facts[2:4])
        return f"{name_address(address)} runs {theirs}, this machine {ours}; Ray wants the same on all.".replace(": ", " ")
    return f"{name_address(address)} cannot be used: {lines[-1] if lines else 'Ray gave no reason'}"


def name_address(address: str | None) -> str:
    return f"--address {address}" if address else "a cluster of Ray on this machine"


# ---- events --------------------------------------------------------------------------------------------------------------


def throttle(emit: Emit, per_s: float = TICKS_PER_S, clock: Callable[[], float] = time.monotonic) -> Emit:
    """`emit`, with ticks at most so often for each kind and fold (or trial); the last of a count and other events at once."""
    due: dict[tuple[str, str], float] = {}

    def tell(event: Event) -> None:
        if isinstance(event, Tick):
            key = (type(event).__name__, str(getattr(event, "fold", "") or getattr(event, "trial", "")))
            last = getattr(event, "done", 0) == getattr(event, "total", None)
            if clock() < due.get(key, 0.0) and not last:
                return
            due[key] = clock() + 1 / per_s
        emit(event)

    return tell
