"""Lineage: the runs that another one starts from (`init`) or learns from (`teachers`), and what they must not have seen.

A model that was trained on a unit's label knows it; neither its weights nor its answers may reach the fold that holds the
unit out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp.api import Target, Task
from comp.errors import FoldsError, WeightsError
from comp.folds import Folds
from comp.ids import locate_ids
from comp.predictions import demand_same_task, link_outputs, read_raw
from comp.project import Project, hash_file
from comp.runs import FULL, Run, find_run, fold_folder, list_seeds, read_fold, seed_folder
from comp.tables import name_few
from comp.views import PLAIN

WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Start:
    """Where weights come from: a run, its folds matched or its `full` for all; or a file."""

    run: Run | None
    full: bool
    file: Path | None

    def weights(self, fold: str) -> Path:
        """The file that this fold starts from.

        Raises:
            WeightsError: the run has not trained it.
        """
        if self.file:
            return self.file
        assert self.run
        return find_weights(self.run, FULL if self.full else fold)

    @property
    def digest(self) -> str:
        if self.file:
            return hash_file(self.file)
        assert self.run
        return f"{self.run.digest}/{FULL}" if self.full else self.run.digest


def find_start(project: Project, given: str | None) -> Start | None:
    """What a manifest's `init` means: exp041, exp041@DIGEST, exp041/full, or a .safetensors file (from the workspace on).

    Raises:
        WeightsError: there is no such file.
        WorkspaceError: there is no such run.
    """
    if given is None:
        return None
    if given.endswith(WEIGHTS):
        files = [path for path in (project.root / Path(given).expanduser(), Path(given).expanduser()) if path.is_file()]
        if not files:
            raise WeightsError(f"init: there is no file {given} in {project.root} or {Path.cwd()}")
        return Start(None, False, files[0])
    reference, _, part = given.partition("/")
    if part not in ("", FULL):
        raise WeightsError(f"init: {given!r}; wanted an experiment (exp041), a run of it (exp041@DIGEST), exp041/full, or a file")
    return Start(demand_models("init", find_run(project, reference, partial=True)), part == FULL, None)


def find_weights(run: Run, fold: str) -> Path:
    folder = fold_folder(run.folder, fold)
    seed = list_seeds(folder)[0]  # of several, the first
    folder = folder if seed is None else seed_folder(folder, seed)
    record = read_fold(folder)
    if record is None:
        way = f"comp run {run.experiment}" + (" --full" if fold == FULL else f" --only {fold}")
        raise WeightsError(f"init: {run.experiment}@{run.digest} has not trained fold {fold}; `{way}` does.")
    return folder / record["weights"]


def find_teachers(project: Project, stages: Sequence[Mapping[str, Any]]) -> dict[str, Run]:
    """Every experiment that an objective of these stages names as its teacher.

    Raises:
        WorkspaceError: one of them has no complete run.
    """
    names = [name for stage in stages for name in stage["objective"].get("teachers") or ()]
    return {name: demand_models("teachers", find_run(project, name)) for name in dict.fromkeys(names)}


def demand_models(key: str, run: Run) -> Run:
    """Raises WeightsError: the run is a blend, or imported, and has no models of its own."""
    if run.is_given:
        kind = "a blend: name its members" if run.is_blend else "imported predictions"
        raise WeightsError(f"{key}: {run.experiment} has no models of its own; it is {kind}.")
    return run


def demand_unseen(what: str, run: Run, folds: Folds, fold: str, theirs: str) -> None:
    """Raises FoldsError: the run's fold `theirs` was trained on units that our fold `fold` holds out."""
    if fold == FULL:
        return
    table = pd.read_csv(run.folder / "folds.csv", dtype={"id": str, "fold": int}, na_filter=False)
    held_out = set() if theirs == FULL else set(table["id"][table["fold"] == int(theirs)])
    ours = folds.table["id"][folds.table["fold"] == int(fold)]
    seen = ours[ours.isin(set(table["id"]) - held_out)]
    if len(seen):
        model = "its model of everything" if theirs == FULL else f"its fold {theirs}"
        raise FoldsError(
            f"{what}: {run.experiment}@{run.digest} cannot be used for fold {fold}: {model} was trained on {len(seen)} of the "
            f"{len(ours)} units that this fold holds out ({name_few(seen)}), and the score would flatter. "
            "Both experiments must have the same folds"
            + (", and init: NAME (without /full) matches them." if theirs == FULL else ".")
        )


def check_lineage(start: Start | None, teachers: Mapping[str, Run], folds: Folds, task: Task) -> dict[str, str]:
    """Name -> digest of what the run builds on, for its own digest.

    Raises:
        FoldsError: a model has seen what a fold holds out.
        PredictionsError: a teacher predicts something else than `task`.
    """
    for name, run in teachers.items():
        demand_same_task(read_task(run), task, f"teachers: {name}@{run.digest}")
    for fold in map(str, range(folds.count)):
        if start and start.run:
            demand_unseen("init", start.run, folds, fold, FULL if start.full else fold)
        for run in teachers.values():
            demand_unseen("teachers", run, folds, fold, fold)
    found = {"init": start.digest} if start else {}
    return found | {f"teacher.{name}": run.digest for name, run in teachers.items()}


def read_task(run: Run) -> Task:
    """What a run was trained to predict."""
    facts = run.state["form"]["targets"]
    return Task(
        tuple(Target(**{**fact, "classes": tuple(fact["classes"]), "columns": tuple(fact["columns"])}) for fact in facts)
    )


def average_stored(
    run: Run, folds: Sequence[str], file: str, row_ids: np.ndarray, task: Task, partly: bool = False
) -> np.ndarray:
    """What folds of a run have stored for these rows as they are: (N, outputs) float64 probabilities or values, the mean of folds
    and seeds.

    Args:
        partly: rows of which nothing is stored are NaN.

    Raises:
        PredictionsError: (without `partly`) nothing is stored for some of the rows; or it predicts something else.
    """
    parts = []
    for fold in folds:
        path = fold_folder(run.folder, fold) / file
        raw = read_raw(path)
        demand_same_task(raw.task, task, str(path))
        # Of further views the file may gain some at any time.
        plain = raw.views == PLAIN
        parts.append(pd.DataFrame(link_outputs(raw.outputs[plain], task, raw.links), index=pd.Index(raw.row_ids[plain])))
    means = pd.concat(parts).groupby(level=0, sort=False).mean()
    if not partly:
        locate_ids(row_ids, means.index.to_numpy(dtype=object), "the table", f"{run.folder.name}'s {file}")
    return means.reindex(pd.Index(row_ids)).to_numpy(copy=True)
