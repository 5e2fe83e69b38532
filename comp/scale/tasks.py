"""Tasks: orders carried out by the nodes of a Ray cluster, what they tell meanwhile, and what comes of them.

Only plain data goes there and back. Where a task runs, and again after its node died, is Ray's to decide.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import comp.errors
from comp.engine.loader.pace import CORES
from comp.errors import CompError, RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Notice, from_record, to_record
from comp.scale.cluster import Cluster, get_apart, import_ray, look_around, throttle
from comp.stopping import catch_stop

RETRIES = 3
POLL_S = 0.25
LOOK_S = 5.0

Work = Callable[[Any, Emit, Callable[[], bool]], Any]
"""A function of a module: (an order, who is told, whether to save and end) -> what came of it. Orders and results are plain."""


@dataclass(frozen=True)
class Need:
    """What a task asks Ray for. `threads`: of each of its processes, on a CPU; `cores`: those that its loader may use."""

    cpu: float = 1
    gpu: float = 0
    threads: int = 1
    cores: int = 1


def give_out(
    cluster: Cluster, work: Work, orders: Mapping[str, Any], need: Need, emit: Emit, stop: Callable[[], bool]
) -> Iterator[tuple[str, Any]]:
    """Have every order carried out somewhere: (its name, what came of it), as they are done.

    One that fails, and a stop, ends the others, too: each saves and is waited for.

    Args:
        orders: by what people call them (`fold 0`).

    Raises:
        WorkspaceError: no node has what is needed; then, and for good, nothing is given out.
        CompError: as the work.
        RunInterrupted: a stop was asked for.
        RunError: the nodes or processes of a task died again and again, or no node is left that has what it needs.
    """
    cluster.demand(need.cpu, need.gpu, next(iter(orders), "a task"))
    post = open_post(cluster)
    task = import_ray().remote(num_cpus=need.cpu, num_gpus=need.gpu, max_retries=RETRIES)(perform)
    given = {task.remote(work, order, name, post, need): name for name, order in orders.items()}
    watch = Watch(given, need, post, emit)
    try:
        while watch.given:
            if stop():
                raise RunInterrupted("stopped on the cluster")
            yield from watch.collect()
    except BaseException:
        watch.end_all()
        raise
    finally:
        post.shutdown(force=True)


def open_post(cluster: Cluster) -> Any:
    """The queue that records of events come back through; it lives on this machine, whatever node dies."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(cluster.home, soft=False)})


# ---- where the order is given --------------------------------------------------------------------------------------------


class Watch:
    """Tasks that were given out, until they are done.

    Attributes:
        given: what Ray will give for each -> its name.
        places: the name of each that has begun -> where (host, process).
    """

    def __init__(self, given: dict[Any, str], need: Need, post: Any, emit: Emit) -> None:
        self.given, self.need, self.post, self.emit = given, need, post, emit
        self.places: dict[str, tuple[str, int]] = {}
        self.looked_at = time.monotonic()

    def collect(self) -> list[tuple[str, Any]]:
        """What is done by now; waits a moment, and passes on what was told."""
        import ray

        ready, _ = ray.wait(list(self.given), num_returns=len(self.given), timeout=POLL_S)
        self.pass_on()
        if time.monotonic() > self.looked_at + LOOK_S:
            self.demand_nodes()
        return [(self.given[one], self.take(one)) for one in ready]

    def pass_on(self) -> None:
        count = self.post.qsize()
        for record in self.post.get_nowait_batch(count) if count else []:
            if record["event"] == "begun":
                self.note_place(**record)
            else:
                self.emit(from_record(record))

    def note_place(self, event: str, name: str, host: str, process: int) -> None:
        if name in self.places:
            was, _ = self.places[name]
            self.emit(Notice(f"{name}: its process on {was} is gone; it goes on on {host} from what was saved", "warning"))
        self.places[name] = host, process

    def demand_nodes(self) -> None:
        """Raises: RunError: no node is left that a task could run on."""
        self.looked_at = time.monotonic()
        try:
            look_around(import_ray()).demand(self.need.cpu, self.need.gpu, ", ".join(self.given.values()))
        except WorkspaceError as error:
            raise RunError(f"{error} What is saved is kept: the same command goes on.") from error

    def take(self, ready: Any) -> Any:
        """What came of one task. Raises as give_out."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        name = self.given.pop(ready)
        try:
            outcome = ray.get(ready)
        except RayTaskError as error:
            raise explain_cause(name, error.cause) or error from error
        except RayError as error:
            where = self.places.get(name, ("?", 0))[0]
            why = str(error).strip().splitlines()[0]
            raise RunError(
                f"{name}: Ray gave it up, last on {where} ({why}); what is saved is kept: the same command goes on."
            ) from error
        if "fault" in outcome:
            raise remake_error(**outcome)
        return outcome["result"]

    def end_all(self) -> None:
        """Have all save and end, and wait for them; what they tell meanwhile is passed on."""
        import ray
        from ray.exceptions import RayError

        for one in self.given:
            ray.cancel(one)
        while self.given:
            try:
                ready, _ = ray.wait(list(self.given), timeout=POLL_S)
                self.pass_on()
            except RayError:
                return
            for one in ready:
                del self.given[one]


def explain_cause(name: str, cause: BaseException) -> CompError | None:
    """What is no fault of comp's: a node that lacks a package."""
    if isinstance(cause, ImportError):
        wanted = "every node needs comp-kit and what the workspace's plugins import, in the same versions as here"
        return WorkspaceError(f"{name}: a node cannot import what it needs ({cause}); {wanted}.")
    return None


def remake_error(fault: str, message: str, lost: str, host: str) -> CompError:
    """The error that a task ended with, as it is here."""
    kind = getattr(comp.errors, fault, RunError)
    if issubclass(kind, RunInterrupted):
        return RunInterrupted(message, lost)
    # A manifest's faults were told where it was loaded; here they are one text.
    kind = kind if "__init__" not in vars(kind) else CompError
    return kind(f"on node {host}: {message}")


# ---- where it is carried out ---------------------------------------------------------------------------------------------


class Teller:
    """Tells the queue without waiting for it."""

    def __init__(self, post: Any) -> None:
        self.post, self.last = post, None

    def put(self, record: dict[str, Any]) -> None:
        self.last = self.post.actor.put_nowait.remote(record)

    def flush(self) -> None:
        """All that was told is there."""
        get_apart(self.last)


def perform(work: Work, order: Any, name: str, post: Any, need: Need) -> dict[str, Any]:
    """One order, in a process of Ray's. {result}, or what remake_error takes."""
    os.environ["OMP_NUM_THREADS"] = str(need.threads)  # whatever was set where the node was started
    os.environ[CORES] = str(need.cores)
    host, teller = socket.gethostname(), Teller(post)
    teller.put({"event": "begun", "name": name, "host": host, "process": os.getpid()})
    try:
        return run_work(work, order, lambda event: teller.put(to_record(event)), host)
    finally:
        teller.flush()


def run_work(work: Work, order: Any, tell: Emit, host: str) -> dict[str, Any]:
    with catch_stop() as stop:  # Ray cancels a task by what Ctrl-C is to a process
        try:
            return {"result": work(order, throttle(tell), stop)}
        except CompError as error:
            return {"fault": type(error).__name__, "message": str(error), "lost": getattr(error, "lost", ""), "host": host}
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            where = f" ({error.filename})" if error.filename else ""
            message = f"the disk is full{where}; free some, and the same command goes on from what was saved"
            return {"fault": "RunError", "message": message, "lost": "", "host": host}
