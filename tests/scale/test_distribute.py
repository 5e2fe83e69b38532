"""comp.scale.distribute: folds on a cluster are those of a local run, whatever dies."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from comp.adopt import check_files
from comp.errors import WorkspaceError
from comp.events import Emit, EpochFinished, Event, FoldSkipped, FoldStarted, Notice, RunStarted
from comp.further import Further
from comp.manifest import load_manifest
from comp.material import open_material
from comp.orders import Order
from comp.plan import open_run, plan_run
from comp.project import hash_file
from comp.run import run_experiment
from comp.runs import fold_folder
from comp.scale.cluster import Cluster, Node
from comp.scale.distribute import OnRay, choose_train, hold_folds, say_once, train_shared, work_out_need
from comp.scale.shelves import list_files
from comp.scale.shipping import NODE_FOLDER, build_stores, copy_code, open_shipment, open_workspace, pack, refuse_shipping
from comp.scale.tasks import Need
from comp.train import lock_fold

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
split: {folds: 5}
loss: {use: patient}
train: {epochs: 12, batch_size: 16, workers: 0, threads: auto}
"""
PATIENT = """\
import os
import time

import comp.scale.courier
import comp.engine.fold
from torch.nn.functional import cross_entropy

from comp.api import plugin

comp.engine.fold.CHECKPOINT_EVERY_S, comp.scale.courier.EVERY_S = 0.0, 0.2
with open("ROOT/seen", "a") as file:
    file.write(os.environ["COMP_WORKSPACE"] + "\\n")


@plugin("loss")
def patient(task, counts, /):
    calls, give_up = [], time.monotonic() + 90

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) == 24:
            open(f"ROOT/held-{os.getpid()}", "w").close()
        while len(calls) == 24 and not os.path.exists("ROOT/dead") and time.monotonic() < give_up:
            time.sleep(0.05)
        return cross_entropy(outputs, targets, reduction="none")

    return loss
"""
"""In the middle of a fold it waits until a node is dead; it saves after each epoch, and notes in which workspaces it lies."""


def write_pair(tiny: Any) -> None:
    """exp001 for the cluster, exp002 for this process with the one thread that a fold has there."""
    (tiny.root / "plugins").mkdir(exist_ok=True)
    (tiny.root / "plugins" / "patient.py").write_text(PATIENT.replace("ROOT", str(tiny.root)))
    tiny.write("exp001", MANIFEST)
    tiny.write("exp002", MANIFEST.replace("threads: auto", "threads: 1"))


@dataclass
class Killer:
    """Tells a workspace's events on, and does `kill` in the middle of two folds that train side by side."""

    tell: Emit
    kill: Callable[[], None]
    dead: Path
    epochs: dict[str, int] = field(default_factory=dict)
    thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        self.tell(event)
        if isinstance(event, EpochFinished):
            self.epochs[event.fold] = event.epoch + 1
        if not self.thread and sum(epochs >= 4 for epochs in self.epochs.values()) == 2:
            self.thread = threading.Thread(target=self.end)
            self.thread.start()

    def end(self) -> None:
        held = self.await_some(lambda: list(self.dead.parent.glob("held-*")), 2)
        time.sleep(1)  # the courier has been by
        self.kill()
        # A process may outlive its node by a moment, in which it would be given the next fold.
        self.await_some(lambda: [path for path in held if not Path("/proc", path.name.removeprefix("held-")).exists()], 1)
        self.dead.touch()

    def await_some(self, look: Callable[[], list[Path]], count: int) -> list[Path]:
        give_up = time.monotonic() + 60
        while len(found := look()) < count and time.monotonic() < give_up:
            time.sleep(0.05)
        return found


def read_oof(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "oof.parquet")


def prove_same(tiny: Any, train: OnRay, kill: Callable[[], None]) -> Path:
    """A run of five folds on two nodes, one killed in the middle, is the local run to the last bit. Returns its folder."""
    write_pair(tiny)
    emit = Killer(tiny.events.append, kill, tiny.root / "dead")
    result = run_experiment(tiny.project, "exp001", train=train, emit=emit)
    seen = {Path(line) for line in (tiny.root / "seen").read_text().splitlines()}
    assert (tiny.root in seen) == (not train.ship)
    local = run_experiment(tiny.project, "exp002", emit=lambda event: None)
    assert emit.dead.exists() and result.complete
    pd.testing.assert_frame_equal(read_oof(result.folder), read_oof(local.folder))
    assert result.scores["pooled"] == local.scores["pooled"]

    begun = [(event.fold, event.resumed_epoch) for event in tiny.events if isinstance(event, FoldStarted)]
    assert sorted(fold for fold, epoch in begun if not epoch) == ["0", "1", "2", "3", "4"]
    assert len([fold for fold, epoch in begun if epoch]) == 1, "one fold went on from its checkpoint"
    starts = [event for event in tiny.events if isinstance(event, RunStarted)]
    assert [(event.folds, event.device) for event in starts] == [(["0", "1", "2", "3", "4"], "cpu, 1 threads")]
    assert starts[0].run_folder == str(result.folder)
    said = [event.text for event in tiny.events if isinstance(event, Notice)]
    assert len([text for text in said if text.startswith("train.threads: auto is 1 thread")]) == 1
    assert len([text for text in said if "is gone; it goes on on" in text]) == 1
    return result.folder


def test_a_node_dies_and_its_fold_goes_on_elsewhere_to_the_same_bits(tiny: Any, two_nodes: Any) -> None:
    folder = prove_same(tiny, OnRay(two_nodes.address), lambda: two_nodes.kill(1))
    tiny.events.clear()
    # What is complete needs no cluster, not even one that answers.
    run_experiment(tiny.project, "exp001", train=OnRay("127.0.0.1:1"), emit=tiny.events.append)
    assert [event.why for event in tiny.events if isinstance(event, FoldSkipped)] == ["complete"] * 5
    assert folder.is_dir()


def test_what_is_shipped_trains_to_the_same_bits_whichever_node_dies(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    kept = tmp_path / "node"
    monkeypatch.setenv(NODE_FOLDER, str(kept))  # before the nodes start
    nodes = request.getfixturevalue("two_nodes")
    folder = prove_same(tiny, OnRay(nodes.address, ship=True), lambda: nodes.kill(1))
    local = next(folder.parents[2].glob("exp002/runs/*"))
    assert list_files(folder / "fold0") == list_files(local / "fold0")
    for fold in range(5):
        assert check_files(folder / f"fold{fold}") == []
    goods = [path for path in (kept / "goods").iterdir() if not path.name.startswith(".")]
    assert goods and all(hash_file(path) == path.name for path in goods)
    assert not any(path.name in ("train.csv", "patient.py") for path in kept.rglob("*"))


def test_what_several_processes_say_alike_is_said_once() -> None:
    told: list[Event] = []
    epoch = EpochFinished("0", "train", 0, 3, 0.5, 0.5, {}, 0.1, 1.0, 10.0, False)
    tell = say_once(told.append)
    for event in (Notice("skipped 3"), Notice("skipped 3"), Notice("skipped 3", "warning"), epoch, epoch):
        tell(event)
    assert told == [Notice("skipped 3"), Notice("skipped 3", "warning"), epoch, epoch]


NOTHING = {"address": None, "ship": False, "storage": None}


def test_the_command_line_says_who_trains_and_what_goes_on() -> None:
    assert choose_train(None, ["0"], NOTHING) == (None, [])
    assert choose_train("ray", [], NOTHING) == (OnRay(), ["--on ray"])
    train, words = choose_train("ray", [], {"address": "10.0.0.1:6379", "ship": True, "storage": "file:///a b"})
    assert train == OnRay("10.0.0.1:6379", True, "file:///a b")
    assert words == ["--on ray", "--address 10.0.0.1:6379", "--ship", "--storage 'file:///a b'"]


@pytest.mark.parametrize(
    ("on", "devices", "wishes", "said"),
    [
        (None, [], {"address": "10.0.0.1:6379", "ship": True}, "--address, --ship: of folds on a cluster; add --on ray."),
        ("ray", ["0"], {}, "--gpus is of this machine"),
        ("ray", [], {"storage": "file:///x"}, "--storage keeps folds that were shipped; add --ship"),
    ],
)
def test_options_that_do_not_go_together_are_refused(on: str | None, devices: list[str], wishes: dict, said: str) -> None:
    with pytest.raises(WorkspaceError, match=said):
        choose_train(on, devices, NOTHING | wishes)


@pytest.mark.parametrize("threads", ["auto", 3])
def test_a_fold_asks_for_its_threads_and_a_gpu_where_there_are_any(tiny: Any, threads: str | int) -> None:
    tiny.edit("experiments/exp001/manifest.yaml", "threads: 1", f"threads: {threads}")
    plan = plan_run(tiny.project, load_manifest(tiny.project, "exp001"))
    told: list[Event] = []
    count = 1 if threads == "auto" else 3
    for gpus in (0, 2):
        cluster = Cluster("10.0.0.1:6379", "a", (Node("a", "10.0.0.1", 4, gpus),))
        assert work_out_need(plan, cluster, told.append) == Need(count, min(gpus, 1), count, 2 if gpus else count)
    assert len(told) == (threads == "auto")
    with pytest.raises(WorkspaceError, match="a shard of exp001 asks for"):
        work_out_need(plan, Cluster("10.0.0.1:6379", "a", (Node("a", "10.0.0.1", 0.5, 0),)), told.append, "shard")


def test_a_node_without_the_shared_folder_says_what_to_do(tiny: Any) -> None:
    with pytest.raises(
        WorkspaceError, match="does not see /nowhere/experiments/exp001/runs/0123abcd: .*under the same path; or add"
    ):
        train_shared(Order("/nowhere", "exp001", "0123abcd", "runs", "0"), tiny.events.append, lambda: False)


def test_what_cannot_be_shipped_is_named_all_at_once(tiny: Any) -> None:
    row = (tiny.data / "train.csv").read_text().split()[1].split(",")[0]
    (tiny.root / "fixes.csv").write_text(f"row_id,action,column,value,reason\n{row},drop,,,no digit\n")
    plan = open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001"), "debug"))
    assert plan.further.fixes
    with pytest.raises(WorkspaceError, match=r"exp001 also needs fixes\.csv, --debug\. Put the workspace into a folder"):
        refuse_shipping(plan)
    refuse_shipping(replace(plan, further=Further(), place="runs"))


def test_folds_that_are_shipped_are_nobody_elses_meanwhile(tiny: Any) -> None:
    plan = open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001")))
    other = lock_fold(fold_folder(plan.run.folder, "1"))
    with hold_folds(plan, ["0", "1"], tiny.events.append) as held:
        assert held == ["0"]
        assert lock_fold(fold_folder(plan.run.folder, "0")) is None
    assert [(event.fold, event.why) for event in tiny.events] == [("1", "in another process")]
    other.release()
    lock_fold(fold_folder(plan.run.folder, "0")).release()


def test_what_is_packed_opens_as_the_same_run_elsewhere(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001")))
    stores = build_stores(plan, tiny.events.append, lambda: False)
    shipment, goods = pack(plan, stores, tmp_path, None)
    kept = tmp_path / "node"
    (kept / "goods").mkdir(parents=True)
    for sha256, path in goods.items():
        shutil.copyfile(path, kept / "goods" / sha256)
    environment = copy_code(plan, tmp_path / "code")
    monkeypatch.chdir(environment["working_dir"])
    shutil.move(tiny.root, tmp_path / "gone")
    with open_workspace(kept) as root:
        opened = open_shipment(shipment, root, kept / "goods")
        assert opened.manifest.digest(opened.run.state["contents"]) == plan.run.digest
        ours, theirs = plan.competition.tables, opened.competition.tables
        pd.testing.assert_frame_equal(ours.train, theirs.train)
        pd.testing.assert_frame_equal(ours.test, theirs.test)
        material = open_material(opened, tiny.events.append, lambda: False)
        assert len(material.train) == 60 and len(material.test) == 12
        assert material.train.store.folder == root / shipment.stores["train"]
    assert not root.exists()


def test_another_comp_on_a_node_is_refused(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001")))
    shipment, goods = pack(plan, build_stores(plan, tiny.events.append, lambda: False), tmp_path, None)
    for sha256, path in goods.items():
        shutil.copyfile(path, tmp_path / sha256)
    monkeypatch.chdir(copy_code(plan, tmp_path / "code")["working_dir"])
    other = replace(shipment, state={**shipment.state, "contents": {**shipment.state["contents"], "tables": "0"}})
    with open_workspace(tmp_path / "node") as root, pytest.raises(WorkspaceError, match="every node needs the same"):
        open_shipment(other, root, tmp_path)
