"""A small real run: a few of scikit-learn's digits, a manifest, and folds of them, without orchestration around."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from comp.api import ImageSpec, Task
from comp.competition import Competition, open_competition
from comp.engine import device
from comp.engine.checkpoint import Progress
from comp.engine.context import StageContext
from comp.engine.device import open_device
from comp.engine.fold import train_fold
from comp.engine.job import FoldJob
from comp.engine.loader.workers import WorkerPool
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, Network, build_network
from comp.engine.rows import Rows, make_rows
from comp.engine.sizes import plan_image, plan_stage_image, plan_store_size
from comp.engine.stage import Stage
from comp.events import Event
from comp.manifest import Manifest, load_manifest
from comp.project import Project
from comp.scores import build_metrics
from comp.stores.store import open_store

COMPETITION = """\
format: 1
dataset: {use: digits}
task: {kind: multiclass, classes: 10, rows: 1347, test_rows: 450, image_px: 8, channels: 1, flip: false}
split: {use: stratified, folds: 5, seed: 42}
metric: {use: accuracy}
submission: {use: labels}
leaderboard: null
"""

SMALL = """\
image: {size: 16}
model: {use: cnn, widths: [4, 6], hidden: 12, dropout: 0.2, grid: 2}
augment: [{use: light, flip: false}]
train: {epochs: 2, batch_size: 16}
"""
"""With batch norm, dropout, crops and colour: whatever is random or keeps a state."""

PLAIN = """\
image: {size: 16}
model: {use: cnn, widths: [4, 6], hidden: 12, dropout: 0.0, batch_norm: false, grid: 2}
head: {use: linear, init: default}
augment: []
train: {epochs: 1, batch_size: 32, ema: false}
"""
"""Nothing random after the initial weights, and no row that depends on another: for arithmetic."""


@dataclass
class Tale:
    """The events of a fold, and a stop or an error at the n-th of a kind."""

    events: list[Event] = field(default_factory=list)
    at: Callable[[Event], None] = lambda event: None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.at(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass(frozen=True)
class Desk:
    """Manifests of one temporary workspace, and what is trained from them. `cache` is shared by all tests."""

    project: Project
    cache: Path
    count: Iterator[int]
    pools: list[WorkerPool] = field(default_factory=list)

    def pool(self, workers: int | str) -> WorkerPool:
        """Loader workers that end with the test."""
        self.pools.append(WorkerPool(workers, cores=2))
        return self.pools[-1]

    def load(self, text: str, *sets: str) -> Manifest:
        folder = self.project.experiments / "exp001"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.yaml").write_text(text)
        return load_manifest(self.project, "exp001", sets)

    def case(self, *sets: str, plain: bool = False, **changed: Any) -> Case:
        """SMALL (or PLAIN) with these `key=value` laid over it."""
        return Case(self, self.load(PLAIN if plain else SMALL, *sets), **changed)

    def tale(self, at: Callable[[Event], None] = lambda event: None) -> Tale:
        return Tale(at=at)


@dataclass(frozen=True)
class Case:
    """One manifest with its data: the first `size` digits; every fifth is held out by fold 0, the next by fold 1, ...

    `answers` replaces the digits as targets: a task, and target -> an array over the rows made of the digits' classes.
    """

    desk: Desk
    manifest: Manifest
    size: int = 100
    answers: tuple[Task, Callable[[np.ndarray], Mapping[str, np.ndarray]]] | None = None

    @cached_property
    def competition(self) -> Competition:
        return open_competition(self.desk.project, self.manifest)

    @cached_property
    def task(self) -> Task:
        return self.answers[0] if self.answers else self.competition.task

    @cached_property
    def image(self) -> ImageSpec:
        return plan_image(self.manifest, self.task, 1)

    @cached_property
    def fabric(self) -> Fabric:
        return open_device(self.manifest.values["train"])

    @cached_property
    def rows(self) -> Rows:
        rows = self._read(self.competition.tables.train.head(self.size), self.competition.task)
        return replace(rows, targets=self.answers[1](rows.targets["label"])) if self.answers else rows

    @cached_property
    def test(self) -> Rows:
        return self._read(self.competition.tables.test.head(20), None)

    def _read(self, table: Any, task: Task | None) -> Rows:
        tables, fit = self.competition.tables, self.manifest.values["image"]["fit"]
        size = plan_store_size(self.manifest, self.image)
        refs = table["image"].tolist()
        return make_rows(table, open_store(refs, tables.root, tables.read, size, fit, self.image.channels, self.desk.cache), task)

    def job(
        self, fold: str = "0", *, workers: int | str = 0, stop: Callable[[], bool] = lambda: False, **changed: Any
    ) -> FoldJob:
        folder = self.desk.project.root / f"run{next(self.desk.count)}" / f"fold{fold}"
        folder.mkdir(parents=True)
        held_out = np.arange(len(self.rows)) % 5 == (int(fold) if fold != "full" else -1)
        if "metrics" not in changed:
            changed["metrics"] = build_metrics(self.manifest.catalog, self.manifest.values["metric"], self.task)
        given = FoldJob(
            manifest=self.manifest,
            task=self.task,
            metrics={},
            image=self.image,
            fold=fold,
            folder=folder,
            train=self.rows.take(np.flatnonzero(~held_out)),
            held_out=None if fold == "full" else self.rows.take(np.flatnonzero(held_out)),
            test=self.test,
            pool=self.desk.pool(workers),
            stop_after=None,
            stop=stop,
        )
        return replace(given, **changed)

    def train(self, job: FoldJob | None = None, tale: Tale | None = None) -> tuple[Path, dict[str, Any]]:
        """Train a fold; its folder and what fold.json holds."""
        job = job or self.job()
        record = train_fold(job, self.fabric, tale or Tale())
        assert json.loads((job.folder / "fold.json").read_text()) == record
        return job.folder, record

    def network(self) -> Network:
        counts = ClassCounts(count_classes(self.task, self.rows.targets), len(self.rows))
        return build_network(self.manifest.catalog, self.manifest.values, self.task, self.image, counts, (42, "0"))

    def stage(self, network: Network | None = None, index: int = 0, tale: Tale | None = None, rows: Rows | None = None) -> Stage:
        """A stage by itself, on all rows."""
        spec = self.manifest.stages[index]
        image = plan_stage_image(spec["image"], self.image)
        context = StageContext(
            self.manifest.catalog, self.task, spec, image, "0", (42, "0", index), 0, self.desk.pool(0), tale or Tale(),
            lambda: False,
        )
        return Stage(context, network or self.fabric.to_device(self.network()), self.fabric, rows or self.rows)


    def files(self, folder: Path) -> dict[str, bytes]:
        """What must be the same bits whatever way a fold was trained: its weights and predictions."""
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".parquet")}

    def gradient(self, stage: Stage, batches: int = 1) -> dict[str, torch.Tensor]:
        """What the first batches of the rows in their order leave in the weights' gradients, before any update."""
        found: dict[str, torch.Tensor] = {}

        def take(progress: Progress) -> None:
            found.update({name: weight.grad.clone() for name, weight in stage.network.named_parameters()})

        stage.update = take  # type: ignore[method-assign]
        progress = Progress()
        stage.network.train()
        for images, rows in itertools.islice(stage.loader.epoch(np.arange(len(stage.rows)), (0,)), batches):
            stage.train_batch(images, rows, progress)
            progress.batch += 1
        return found


@pytest.fixture(scope="session")
def store_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def desk(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store_cache: Path
) -> Iterator[Desk]:
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(device, "device_kind", lambda: "cpu")  # on a GPU arithmetic is not what bits are compared by
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    desk = Desk(Project(tmp_path), store_cache, itertools.count())
    yield desk
    for pool in desk.pools:
        pool.close()
    torch.set_num_threads(threads)
