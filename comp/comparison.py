"""Comparison: runs scored by one metric on the units that every one of them predicted, joined by id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from comp.competition import Competition, encode_targets, open_competition, unit_table
from comp.errors import PredictionsError, WorkspaceError
from comp.manifest import Manifest, load_resolved
from comp.predictions import Predictions, read_predictions
from comp.project import Project
from comp.runs import Run, scored_file
from comp.scores import build_all_metrics, score_predictions


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    by_experiment: experiment -> score; None: undefined on these units.
    units: how many units were compared on.
    refused: experiment -> why it could not be compared.
    """

    by_experiment: dict[str, float | None]
    units: int
    refused: dict[str, str]


def compare_runs(project: Project, runs: Sequence[Run], fixed: Mapping[str, Any], on: str) -> Comparison:
    """Score each run's OOF by the competition's metric on the units of the folds `on` that all of them predicted.

    Args:
        fixed: the competition's `metric` (a mapping with `use`) and `target` (as dataset.target has it).
        on: `all`, or fold numbers of the competition's folds, as in `0,2`.

    Raises:
        WorkspaceError: there is no such fold.
        PredictionsError: there is no run to compare, or no unit that all predicted.
    """
    if not runs:
        raise PredictionsError("there is nothing to compare yet: no experiment has out-of-fold predictions.")
    metric = fixed["metric"]
    manifest, competition = open_fixed(project, runs, fixed["target"])
    stored = {run.experiment: read_predictions(scored_file(run.folder)) for run in runs}
    refused = {name: "other targets" for name, oof in stored.items() if oof.task != competition.task}
    fitting = {name: oof for name, oof in stored.items() if name not in refused}
    units = unit_table(competition.tables)
    ids = units["id"].to_numpy(dtype=object)
    common = set(choose_units(project, runs, ids, on)).intersection(*(oof.ids for oof in fitting.values()))
    if not common or not fitting:
        raise PredictionsError(f"--on {on}: there is no unit that all {len(fitting)} experiments have predicted.")
    metrics = build_all_metrics(manifest.catalog, [metric], competition.task)
    targets = encode_targets(competition.task, units)
    scored = {name: score_predictions(restrict(oof, common), ids, targets, metrics) for name, oof in fitting.items()}
    return Comparison({name: scores.metrics[metric["use"]].pooled for name, scores in scored.items()}, len(common), refused)


def open_fixed(project: Project, runs: Sequence[Run], target: Any) -> tuple[Manifest, Competition]:
    """The competition as competition.yaml has it, through the newest run that predicts its targets.

    Raises:
        PredictionsError: every run has targets of its own.
    """
    for run in sorted(runs, key=lambda run: run.made_at, reverse=True):
        manifest = load_resolved(project, run.experiment, run.folder / "manifest.resolved.yaml")
        if same_json(manifest.values["dataset"].get("target"), target):
            return manifest, open_competition(project, manifest)
    raise PredictionsError("no experiment predicts the targets of competition.yaml; there is nothing to compare on.")


def choose_units(project: Project, runs: Sequence[Run], ids: np.ndarray, on: str) -> np.ndarray:
    """The ids of some folds, as the workspace's own folds have them; where those are not made, as the first run's."""
    if on == "all":
        return ids
    default = project.folds / "default.csv"
    table = pd.read_csv(
        default if default.exists() else runs[0].folder / "folds.csv", dtype={"id": str, "fold": int}, na_filter=False
    )
    known = [str(number) for number in sorted(set(table["fold"]) - {-1})]
    wanted = [part.strip() for part in on.split(",")]
    if not set(wanted) <= set(known):
        raise WorkspaceError(f"--on {on}: the folds are {', '.join(known)} (as in 0, or 0,2), or all.")
    return table["id"][table["fold"].astype(str).isin(wanted)].drop_duplicates().to_numpy(dtype=object)


def restrict(oof: Predictions, ids: set[str]) -> Predictions:
    kept = np.array([unit in ids for unit in oof.ids], dtype=bool)
    fold = None if oof.fold is None else oof.fold[kept]
    return replace(oof, ids=oof.ids[kept], values=oof.values[kept], fold=fold)


def same_json(one: Any, other: Any) -> bool:
    """Whether two plain values say the same; a tuple that was written to YAML has come back as a list."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
