"""Workspaces: one to write manifests into, and one with sixty real images that trains in a second."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from comp.errors import ManifestError
from comp.manifest import Manifest, load_manifest
from comp.project import Project

COMPETITION = """\
format: 1
dataset: {use: csv, id: image_id, target: label}
task: {kind: multiclass, classes: 7, rows: 1698, test_rows: 350, image_px: 227, channels: 3, flip: true}
split: {use: stratified, folds: 5, seed: 42}
metric: {use: accuracy}
submission: {use: labels}
leaderboard: null
"""


@dataclass(frozen=True)
class Sheets:
    """Manifests of a workspace without data; `exp001` is the one that is loaded."""

    project: Project

    def write(self, name: str, text: str) -> Path:
        folder = self.project.experiments / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.yaml").write_text(text)
        return folder

    def load(self, text: str, *sets: str, **options: Any) -> Manifest:
        self.write("exp001", text)
        return load_manifest(self.project, "exp001", sets, **options)

    def list_faults(self, text: str, *sets: str, **options: Any) -> list[str]:
        """`line path: message` of each fault in exp001, `file:line …` of each elsewhere."""
        with pytest.raises(ManifestError) as caught:
            self.load(text, *sets, **options)
        return [str(fault).replace("experiments/exp001/manifest.yaml:", "").replace("  ", " ") for fault in caught.value.faults]

    def pin(self, name: str) -> str:
        """Have an experiment look as if it had run; returns the run's digest."""
        manifest = load_manifest(self.project, name)
        digest = manifest.digest({})
        folder = self.project.experiments / name / "runs" / digest
        folder.mkdir(parents=True)
        (folder / "manifest.resolved.yaml").write_text(manifest.dump())
        return digest


@pytest.fixture
def sheets(tmp_path: Path) -> Sheets:
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    return Sheets(Project(tmp_path))


# ---- a workspace that trains ---------------------------------------------------------------------------------------------

TINY_COMPETITION = """\
format: 1
dataset: {use: csv, data: data, train: train.csv, test: test.csv, sample: sample.csv, images: train, test_images: test, id: name}
task: {kind: multiclass, classes: 3, rows: 60, test_rows: 12, image_px: 8, channels: 1, flip: false}
split: {use: stratified, folds: 2, seed: 42}
metric: {use: accuracy}
submission: {use: labels}
leaderboard: null
"""
TINY_MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}
"""
DRIVER = """\
import contextlib, json, os, signal, sys, traceback

import comp.cli, comp.cli.runs, comp.engine.fold, comp.material, comp.run  # once, for all the processes that are forked here
import comp.cli.output

comp.engine.fold.CHECKPOINT_EVERY_S = 0.0


class View:
    def __init__(self, job):
        self.event, self.count = job.get("at", ["", 0])
        self.signal = job.get("signal")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __call__(self, event):
        if type(event).__name__ == self.event:
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), getattr(signal, self.signal))


def start(job):
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(job["root"])
        comp.cli.runs.open_view = lambda as_json: View(job)
        with contextlib.redirect_stdout(sys.stderr):
            code = comp.cli.main(job["args"])
    except BaseException:
        traceback.print_exc()
    os._exit(code)


codes = []
for wave in json.loads(sys.argv[1]):
    children = [start(job) for job in wave]
    codes.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
print(json.dumps(codes))
"""


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Tiny:
    """A workspace of sixty digits in PNG files, three classes, two folds, one epoch."""

    root: Path
    events: list[Any] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return Project(self.root)

    @property
    def data(self) -> Path:
        return self.root / "data"

    def write(self, name: str, text: str = TINY_MANIFEST) -> Path:
        """An experiment with this manifest."""
        folder = self.root / "experiments" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.yaml").write_text(text)
        return folder

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.root / file).read_text()
        assert old in text, (file, old)
        (self.root / file).write_text(text.replace(old, new))

    def comp(self, *args: str) -> Said:
        """A command, in this process, as if typed in the workspace."""
        from comp.cli import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(arg) for arg in args])
        return Said(code, out.getvalue(), err.getvalue())

    def run(self, name: str = "exp001", **wishes: Any) -> Any:
        """`comp run`; what it tells is added to `events`."""
        from comp.run import run_experiment

        return run_experiment(self.project, name, emit=self.events.append, **wishes)

    def names(self, kind: str) -> list[Any]:
        """The events of this kind since the last time somebody asked, which then are forgotten."""
        found = [event for event in self.events if type(event).__name__ == kind]
        self.events.clear()
        return found

    def job(self, *args: str, at: tuple[str, int] = ("", 0), signal: str = "") -> dict[str, Any]:
        """A command for `drive`, and a `signal` sent to it by itself at an event, the how many-th of its name."""
        return {"root": str(self.root), "args": args, "at": at, "signal": signal}


@dataclass(frozen=True)
class Processes:
    """What driven processes ended with: the exit codes of each wave (minus the signal that killed one), and all of stderr."""

    codes: list[list[int]]
    err: str


def drive(waves: Sequence[Sequence[dict[str, Any]]]) -> Processes:
    """Run real processes, those of a wave side by side, forked from one that has imported everything."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(waves)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Processes(json.loads(done.stdout.splitlines()[-1]), done.stderr)


@pytest.fixture(scope="session")
def drive_processes() -> Callable[[Sequence[Sequence[dict[str, Any]]]], Processes]:
    return drive


@pytest.fixture(scope="session")
def copy_tiny(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> Callable[[str], Tiny]:
    """Makes a workspace that outlives a test, `exp001` in it with this manifest."""

    def copy(manifest: str) -> Tiny:
        copied = open_copy(tiny_source, tmp_path_factory.mktemp("copy"))
        copied.write("exp001", manifest)
        return copied

    return copy


def draw_digits(folder: Path, first: int, count: int) -> list[tuple[str, str]]:
    """Digits 0, 1 and 2 of scikit-learn as 8 px PNG files, from the first-th of each on; returns (id, label)."""
    import cv2
    import numpy as np
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True)
    images, labels = load_digits(return_X_y=True)
    rows = []
    for digit in range(3):
        for place in np.flatnonzero(labels == digit)[first : first + count]:
            name = f"{place:04d}"  # as text: leading zeros stay
            cv2.imwrite(str(folder / f"{name}.png"), np.rint(images[place].reshape(8, 8) * 15.9).astype(np.uint8))
            rows.append((name, str(digit)))
    return sorted(rows)


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "workspace"
    train = draw_digits(root / "data/train", 0, 20)
    test = draw_digits(root / "data/test", 20, 4)
    (root / "data/train.csv").write_text("name,label\n" + "".join(f"{name},{label}\n" for name, label in train))
    (root / "data/test.csv").write_text("name\n" + "".join(f"{name}\n" for name, _ in test))
    # Not the order of the test table: the sample's counts.
    (root / "data/sample.csv").write_text("name,label\n" + "".join(f"{name},0\n" for name, _ in reversed(test)))
    (root / "competition.yaml").write_text(TINY_COMPETITION)
    Tiny(root).write("exp001")
    return root


@pytest.fixture(scope="session")
def tiny_run_source(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny_run") / "workspace"
    shutil.copytree(tiny_source, root)
    Tiny(root).run()
    return root


@pytest.fixture
def tiny(tiny_source: Path, tmp_path: Path) -> Tiny:
    """A workspace with `exp001`, which has not run."""
    return open_copy(tiny_source, tmp_path)


@pytest.fixture
def tiny_run(tiny_run_source: Path, tmp_path: Path) -> Tiny:
    """The same where `exp001` has run, both folds."""
    return open_copy(tiny_run_source, tmp_path)


@pytest.fixture(scope="session")
def open_tiny() -> Callable[[Path, Path], Tiny]:
    """(workspace, folder) -> a copy of the workspace in the folder."""
    return open_copy


def open_copy(source: Path, folder: Path) -> Tiny:
    root = folder / source.parent.name / "workspace"
    shutil.copytree(source, root)
    return Tiny(root)


@pytest.fixture
def hours_over(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and for whoever asks whether a run is to stop a day has gone by."""
    import comp.stopping

    days: list[int] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 86_400 * len(days))
    monkeypatch.setattr(comp.stopping, "time", clock)
    return lambda: days.append(1)


# ---- clusters ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only one test at a time on this machine has Ray, whichever process it runs in."""
    from filelock import FileLock

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with FileLock(Path(tempfile.gettempdir()) / f"comp-tests-{os.getuid()}.ray.lock"):
        yield


@dataclass(frozen=True)
class Nodes:
    """Two nodes on this machine, 1 CPU each. `kill(1)` ends the second as a power cut would; the first is the head, which notices
    in seconds."""

    address: str
    kill: Callable[[int], None]


@pytest.fixture
def two_nodes(one_cluster: None) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    own = tempfile.mkdtemp(prefix="comp-")  # as on another machine; a socket's path is to be short
    try:
        nodes = [cluster.head_node, cluster.add_node(num_cpus=1, temp_dir=own)]
        yield Nodes(cluster.address, lambda number: cluster.remove_node(nodes[number], allow_graceful=False))
    finally:
        cluster.shutdown()
        shutil.rmtree(own, ignore_errors=True)
