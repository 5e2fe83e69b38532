"""`comp run --on ray`: the folds of a run as tasks of a Ray cluster, all at once as far as there is room.

A fold is trained by the same code as here; how it gets to a node, and its files back, is by a folder that all nodes share, or
comp.scale.shipping's.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from comp.errors import WorkspaceError
from comp.events import Emit, Event, FoldSkipped, Notice, RunStarted
from comp.orders import Order, make_order
from comp.plan import RunPlan
from comp.runs import FULL, fold_folder, read_fold
from comp.scale.cluster import Cluster, connect
from comp.scale.relay import start_once
from comp.scale.shelves import open_storage
from comp.scale.shipping import bring_home, build_stores, copy_code, open_depot, pack, refuse_shipping, train_shipped
from comp.scale.tasks import Need, give_out
from comp.train import Train, lock_fold
from comp.work import carry_out

if TYPE_CHECKING:
    from comp.material import Material


def choose_train(on: str | None, devices: Sequence[str], wishes: Mapping[str, Any]) -> tuple[Train | None, list[str]]:
    """Who trains, by what a command line says; None: this machine. And the words that said so.

    Args:
        devices: those of --gpus.
        wishes: address, ship and storage.

    Raises:
        WorkspaceError: options that do not go together.
    """
    words = [f"--{name}" if given is True else f"--{name} {shlex.quote(given)}" for name, given in wishes.items() if given]
    if words and not on:
        raise WorkspaceError(f"{', '.join(word.split()[0] for word in words)}: of folds on a cluster; add --on ray.")
    if on and devices:
        raise WorkspaceError("--gpus is of this machine, --on ray of a cluster, which knows its GPUs; leave one of them out.")
    if wishes["storage"] and not wishes["ship"]:
        raise WorkspaceError("--storage keeps folds that were shipped; add --ship, or leave it out: a shared folder keeps them.")
    return (OnRay(**wishes), [f"--on {on}", *words]) if on else (None, [])


@dataclass(frozen=True)
class OnRay:
    """Who trains folds on a cluster (comp.train.Train).

    Attributes:
        address: HOST:PORT, or auto; None: a cluster is started on this machine.
        ship: whether nodes are sent what a fold needs; else they see the workspace in a folder that all share.
        storage: where folds that were shipped are kept while they train, a URI that pyarrow.fs can write; None: the run's folder.
    """

    address: str | None = None
    ship: bool = False
    storage: str | None = None

    def __call__(self, plan: RunPlan, wanted: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> Material | None:
        """Raises: as comp.scale.cluster.connect, comp.scale.tasks.give_out and comp.scale.shipping.refuse_shipping."""
        pending = list_pending(plan, wanted, emit)
        if not pending:
            return None
        tell = say_once(start_once(tell_home(emit, plan), wanted))
        give = self.give_shipped if self.ship else self.give_shared
        # `full` may need the lengths of the folds.
        for wave in ([fold for fold in pending if fold != FULL], [fold for fold in pending if fold == FULL]):
            if wave:
                give(plan, wave, tell, stop)
        return None

    def give_shared(self, plan: RunPlan, folds: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> None:
        with connect(self.address, emit) as cluster:
            need = work_out_need(plan, cluster, emit)
            orders = {f"fold {fold}": make_order(plan, fold) for fold in folds}
            for _ in give_out(cluster, train_shared, orders, need, emit, stop):
                pass

    def give_shipped(self, plan: RunPlan, folds: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> None:
        refuse_shipping(plan)
        if self.storage:
            open_storage(self.storage)
        with TemporaryDirectory() as folder, hold_folds(plan, folds, emit) as held:
            if not held:
                return
            shipment, goods = pack(plan, build_stores(plan, emit, stop), Path(folder), self.storage)
            environment = copy_code(plan, Path(folder) / "code")
            with connect(self.address, emit, runtime_env=environment) as cluster:
                need = work_out_need(plan, cluster, emit)
                with open_depot(shipment, plan.run, goods, cluster.home) as make:
                    orders = {f"fold {fold}": make(fold) for fold in held}
                    for name, _ in give_out(cluster, train_shipped, orders, need, emit, stop):
                        if self.storage:
                            bring_home(shipment, plan.run, orders[name].fold)


@contextmanager
def hold_folds(plan: RunPlan, folds: Sequence[str], emit: Emit) -> Iterator[list[str]]:
    """The folds that no other process has; none takes them while they train elsewhere. Says which others are left to theirs."""
    held = []
    with ExitStack() as locks:
        for fold in folds:
            if lock := lock_fold(fold_folder(plan.run.folder, fold)):
                locks.callback(lock.release)
                held.append(fold)
            else:
                emit(FoldSkipped(fold, "in another process"))
        yield held


def list_pending(plan: RunPlan, wanted: Sequence[str], emit: Emit) -> list[str]:
    """The folds that are not complete; says which are."""
    complete = [fold for fold in wanted if read_fold(fold_folder(plan.run.folder, fold))]
    for fold in complete:
        emit(FoldSkipped(fold, "complete"))
    return [fold for fold in wanted if fold not in complete]


def work_out_need(plan: RunPlan, cluster: Cluster, emit: Emit, what: str = "fold") -> Need:
    """What each fold (or shard of a prediction) asks for: a CPU for each of its threads, and a GPU where there are any.

    Raises:
        WorkspaceError: no node has that.
    """
    train = plan.manifest.values["train"]
    processes = train["devices"] if what == "fold" else 1
    threads = 1 if train["threads"] == "auto" else train["threads"]
    cores = min((int(node.cpus / node.gpus) for node in cluster.nodes if node.gpus), default=threads)
    need = Need(processes * threads, processes * int(cluster.gpus >= 1), threads, max(1, processes * cores))
    cluster.demand(need.cpu, need.gpu, f"a {what} of {plan.manifest.name}")
    if train["threads"] == "auto" and not need.gpu:
        emit(Notice(f"train.threads: auto is 1 thread for each {what} here, for the 1 CPU that it gets of the cluster"))
    return need


def say_once(emit: Emit) -> Emit:
    """Each notice once: every process that opens the images says what is to be known of them."""
    told: set[Event] = set()

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            if event in told:
                return
            told.add(event)
        emit(event)

    return tell


def tell_home(emit: Emit, plan: RunPlan) -> Emit:
    """The run's folder is the one here, whatever it is on a node."""

    def tell(event: Event) -> None:
        emit(replace(event, run_folder=str(plan.run.folder)) if isinstance(event, RunStarted) else event)

    return tell


# ---- on a node -----------------------------------------------------------------------------------------------------------


def train_shared(order: Order, emit: Emit, stop: Callable[[], bool]) -> None:
    """Train an order's fold in the workspace's own folder.

    Raises:
        WorkspaceError: this machine does not see it.
    """
    folder = Path(order.root) / "experiments" / order.name / order.place / order.digest
    if not (folder / "environment.json").is_file():
        raise WorkspaceError(
            f"{socket.gethostname()} does not see {folder}: the workspace must lie in a folder that all nodes share, under the "
            "same path; or add --ship, which sends what a fold needs."
        )
    carry_out(order, emit, stop)
