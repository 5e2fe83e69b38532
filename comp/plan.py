"""A run's plan: the manifest with its competition and folds, the digest that they add up to, and the folder that bears it.

Everything here is known before training; no torch is needed for it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from comp import __version__
from comp.api import PICTURES, Logger, Metric, Tables
from comp.competition import Competition, hash_tables, open_competition
from comp.engine.sizes import plan_image, plan_store_size
from comp.errors import CompError
from comp.events import Emit, Notice
from comp.folds import Folds, open_folds
from comp.formats import read_record
from comp.further import Further, open_further
from comp.images import probe_images
from comp.lineage import Start, check_lineage, find_start, find_teachers
from comp.manifest import Manifest
from comp.project import Project, atomic_write, hash_json
from comp.runs import FORMAT, FULL, Run, fold_folder, list_runs
from comp.scores import build_metrics
from comp.tables import raise_faults

STUB_ROWS, STUB_SHARE = 10, 20
"""A test set of so few rows, at so many training rows for each, is taken for a stub."""

LIBRARIES = ("torch", "timm", "albumentations", "numpy", "pandas", "scikit-learn", "opencv-python-headless", "lightning-fabric")


Place = Literal["runs", "debug", "trials"]


@dataclass(frozen=True)
class RunPlan:
    """What a run is made of.

    Attributes:
        place: in which of the experiment's folders the run lies: runs; debug (the whole path on a handful of batches); or trials
            (of a search, which read and predict no test set).
        start: the weights that folds start from; None: the manifest's own model.
        teachers: the runs that an objective learns from, by the names it gives them.
        further: extra tables and fixes; nothing in the plan of a finished run.
        stores: train, test -> the folder of the image store, where it was brought here and the images were not; else nothing.
        profile: whether folds measure where their time goes.
    """

    project: Project
    manifest: Manifest
    competition: Competition
    folds: Folds
    run: Run
    place: Place = "runs"
    start: Start | None = None
    teachers: Mapping[str, Run] = field(default_factory=dict)
    further: Further = Further()
    stores: Mapping[str, Path] = field(default_factory=dict)
    profile: bool = False

    @property
    def debug(self) -> bool:
        return self.place == "debug"

    def with_values(self, **changed: Any) -> RunPlan:
        """The same run looked at with other wishes (metric, tta, ...): nothing that trains may be among them."""
        return replace(self, manifest=self.manifest.with_values({**self.manifest.values, **changed}))

    def build_metrics(self) -> dict[str, Metric]:
        """Target name -> the deciding metric."""
        return build_metrics(self.manifest.catalog, self.manifest.values["metric"], self.competition.task)


def plan_run(project: Project, manifest: Manifest, place: Place = "runs") -> RunPlan:
    """Open the tables and folds, and work out the digest. The run's folder is open_run's to make.

    Raises:
        DataError, FoldsError: the tables or folds are at fault; or a model to start from, or to learn from, has seen what a fold
            holds out.
        WeightsError, WorkspaceError: there is no such model.
    """
    competition = open_competition(project, manifest, demand_images=False)
    folds = open_folds(project, manifest, competition)
    start, teachers = find_start(project, manifest.values["init"]), find_teachers(project, manifest.stages)
    further = open_further(manifest, competition)
    lineage = check_lineage(start, teachers, folds, competition.trained)
    contents = digest_contents(manifest, competition, folds) | lineage | further.contents()
    digest = manifest.digest(contents)
    folder = project.experiment(manifest.name) / place / digest
    state = {"folds": [str(number) for number in range(folds.count)], "contents": contents, "further": further.count()}
    run = Run(manifest.name, digest, folder, state)
    if place == "debug" or not run.complete:
        raise_faults(competition.missing)
    return RunPlan(project, manifest, competition, folds, run, place, start, teachers, further)


def digest_contents(manifest: Manifest, competition: Competition, folds: Folds) -> dict[str, str]:
    """What the digest covers besides the manifest: name -> SHA-256."""
    contents = {"tables": hash_tables(competition.tables), "folds": folds.sha256, **manifest.weight_hashes()}
    learns_test = any("test" in (stage["objective"].get("rows") or ()) for stage in manifest.stages)
    if learns_test and competition.tables.test is not None:
        rows = competition.tables.test[["row_id", "id", "image"]].sort_values("row_id")
        contents["test"] = hash_json(rows.to_numpy().tolist())
    return contents


def open_run(plan: RunPlan) -> RunPlan:
    """Make the run's folder with what it states about itself, or read that back; environment.json comes last.

    A debug run begins anew each time. While no fold has begun, what is stated follows competition.yaml, whose facts (channels)
    have no part in the digest.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    folder, manifest = plan.run.folder, plan.manifest
    file = folder / "environment.json"
    if plan.debug:
        shutil.rmtree(folder, ignore_errors=True)
    if not file.exists() or not has_begun(plan.run):
        made = read_record(file, FORMAT) if file.exists() else describe_environment(plan.project, manifest)
        state_run(plan, {**made, **plan.run.state, "form": describe_form(plan)})
    return reopen_run(plan)


def state_run(plan: RunPlan, state: Mapping[str, Any]) -> None:
    """Write what a run states about itself. `state`: its environment.json, which comes last."""
    folder = plan.run.folder
    atomic_write(folder / "manifest.resolved.yaml", plan.manifest.dump())
    atomic_write(folder / "folds.csv", plan.folds.table.to_csv(index=False, lineterminator="\n"))
    atomic_write(folder / "environment.json", json.dumps(state, indent=2, ensure_ascii=False))


def reopen_run(plan: RunPlan) -> RunPlan:
    """The plan with what its opened run states about itself."""
    state = read_record(plan.run.folder / "environment.json", FORMAT)
    return replace(plan, run=replace(plan.run, state=state))


def has_begun(run: Run) -> bool:
    """Whether a fold has left anything but its lock."""
    folders = [fold_folder(run.folder, fold) for fold in (*run.folds, FULL)]
    return any(path.is_file() and path.name != ".lock" for folder in folders for path in folder.rglob("*"))


def describe_form(plan: RunPlan) -> dict[str, Any]:
    """What a prediction needs to know of the tables, so that it needs no tables: `comp predict` works from checkpoints alone.

    And the (height, width) in which images are stored, for all that the run will ever train or predict.
    """
    tables = plan.competition.tables
    channels = count_channels(plan.manifest, tables)
    image = plan_image(plan.manifest, plan.competition.trained, channels)
    return {
        "targets": [asdict(target) for target in plan.competition.trained.targets],
        "id_column": tables.id_column,
        "ids_have_endings": bool(tables.train["id"].head(100).str.lower().str.endswith(tuple(PICTURES)).all()),
        "channels": channels,
        "stored_px": list(plan_store_size(plan.manifest, image)),
        "columns": list(tables.columns),
        "views": tables.views,
        "facts": dict(tables.facts),
    }


def describe_test_set(tables: Tables) -> str:
    """What is to be known of the test set before training: that it is absent, empty or a stub; else nothing."""
    rows = None if tables.test is None else len(tables.test)
    later = "`comp predict` answers one that comes later"
    if not rows:
        return f"{'there is no test set yet' if rows is None else 'the test set is empty'}: no test predictions are made; {later}"
    if rows <= STUB_ROWS and rows * STUB_SHARE < len(tables.train):
        return f"the test set has {rows} rows to {len(tables.train):,} for training, and may be a stub of a hidden one; {later}"
    return ""


def count_channels(manifest: Manifest, tables: Tables) -> int:
    """`image.channels: auto`: what competition.yaml counted, else what a sample of the images has; of all images in a stack."""
    fact = (manifest.values["task"] or {}).get("channels")
    each = int(fact) if fact else probe_images(tables.train["image"].tolist(), tables.root, tables.read, 50).channels
    return each * tables.views


def describe_environment(project: Project, manifest: Manifest) -> dict[str, Any]:
    """What a run is made with: versions, code, machine."""
    return {
        "format": FORMAT,
        "comp": __version__,
        # Later than every run that is there, though the clock may have been set back: the newest run is the one that counts.
        "made_at": max([time.time(), *(run.made_at + 0.001 for run in list_runs(project, manifest.name))]),
        "plugins": manifest.plugin_hashes(),
        "git": describe_git(project.root),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "command": " ".join(["comp", *sys.argv[1:]]) if Path(sys.argv[0]).name == "comp" else "",
    }


def describe_git(folder: Path) -> dict[str, Any] | None:
    """{commit, dirty} of the workspace, or None where it is no git checkout (or git is not there)."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))} if commit else None


def open_loggers(plan: RunPlan, emit: Emit) -> list[Logger]:
    """The manifest's loggers. One that cannot start is said, and left out: a logger never stops a run."""
    loggers = []
    for spec in plan.manifest.values["logger"]:
        try:
            loggers.append(plan.manifest.catalog.build("logger", spec, folder=plan.run.folder))
        except CompError as error:
            emit(Notice(f"logger '{spec['use']}' is left out: {error}", "warning"))
    return loggers


def tell_logger(logger: Logger, record: dict[str, Any], emit: Emit) -> bool:
    """Hand one event to a logger. False: it failed, which is said; it is not asked again."""
    try:
        logger(record)
    except Exception as error:  # a tracker's network, disk or version is no reason to lose a night's run
        emit(Notice(f"logger {type(logger).__name__} failed and is left out from here on: {error}", "warning"))
        return False
    return True


def close_logger(logger: Logger, emit: Emit) -> None:
    """A logger may still have to send something; what fails of that is said."""
    try:
        logger.close()
    except Exception as error:
        emit(Notice(f"logger {type(logger).__name__} failed at its end: {error}", "warning"))
