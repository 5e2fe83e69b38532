"""Imported: a team mate's predictions, CSV files of ids and classes, become an experiment that can be blended and submitted.

The files are kept in the experiment's folder as they came; reading them anew is `comp run`. Nothing is known of the model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import Task
from comp.competition import Competition, open_competition, unit_table
from comp.errors import PredictionsError
from comp.events import Emit, Notice
from comp.folds import Folds, open_folds
from comp.given import Given, RunResult, write_given
from comp.ids import demand_same_ids, locate_ids, name_ids
from comp.manifest import Manifest, load_manifest
from comp.new import create_experiment, remove_on_failure
from comp.predictions import Predictions
from comp.project import Project, hash_file

SUM_TOLERANCE = 1e-3
"""Rows of probabilities that are this far from 1 are divided by their sum, which is said; nearer ones silently."""


@dataclass(frozen=True)
class Imported:
    """What the files hold. `warnings`: what should be known about it."""

    oof: Predictions
    test: Predictions | None
    warnings: list[str]


def import_predictions(project: Project, name: str, oof: Path, test: Path | None, emit: Emit) -> RunResult:
    """Make an experiment of two CSV files: `id` (or the competition's own header), a column per class or per value, and in the
    OOF's a `fold` column, if it is known. On an error nothing stays behind.

    Raises:
        WorkspaceError: the name is bad or taken.
        PredictionsError: files of other ids or classes, or of what are no probabilities; the message shows the difference.
    """
    files = {"oof": oof, **({} if test is None else {"test": test})}
    for file in files.values():
        if not file.is_file():
            raise PredictionsError(f"there is no file {file}")
    wanted = ", ".join(f"{what}: {what}.csv" for what in files)
    folder = create_experiment(project, name, sets=[f"imported={{{wanted}}}"])
    with remove_on_failure(folder):
        for what, file in files.items():
            shutil.copyfile(file, folder / f"{what}.csv")
        return run_imported(project, load_manifest(project, name), emit)


def run_imported(project: Project, manifest: Manifest, emit: Emit) -> RunResult:
    """Read the files that the manifest names, and score them."""
    started = time.monotonic()
    competition = open_competition(project, manifest, demand_images=False)
    found = read_imported(manifest, competition, open_folds(project, manifest, competition))
    for text in found.warnings:
        emit(Notice(text, "warning"))
    given = Given("imported", hash_imported(manifest), found.oof, found.test, {})
    return write_given(project, manifest, competition, given, started, emit)


def hash_imported(manifest: Manifest) -> dict[str, str]:
    """`oof`, `test` -> SHA-256 of the files.

    Raises:
        PredictionsError: one is not there.
    """
    files = {what: manifest.folder / file for what, file in manifest.values["imported"].items() if file is not None}
    for file in files.values():
        if not file.is_file():
            raise PredictionsError(f"{file} is not there, from which {manifest.name} was imported")
    return {what: hash_file(file) for what, file in files.items()}


def read_imported(manifest: Manifest, competition: Competition, folds: Folds) -> Imported:
    """The files' contents, checked against the tables and folds.

    Raises:
        PredictionsError: files that are missing, of other ids or classes, or of what are no probabilities.
    """
    warnings: list[str] = []
    tables, task, stated = competition.tables, competition.task, manifest.values["imported"]
    hash_imported(manifest)
    file = manifest.folder / stated["oof"]
    table = read_csv(file, tables.id_column, task)
    ids = table.pop("id").to_numpy(dtype=object)
    units = unit_table(tables)["id"].to_numpy(dtype=object)
    fold_of = folds.of(units)
    demand_same_ids(units[fold_of >= 0], ids, "the held-out units of the folds", file.name)
    fold = fold_of[locate_ids(ids, units, file.name, "the training table")]
    if "fold" in table and "fold" not in task.columns:
        fold = compare_folds(table.pop("fold"), fold, file.name, warnings)
    else:
        warnings.append(
            f"{file.name} has no `fold` column: its models are taken to have held out the folds of {folds.path.name}. If they "
            "did not, a rule that is fitted on it has a CV that is somewhat too good"
        )
    oof = Predictions(task, ids, read_values(table, task, ids, file.name, warnings), fold)
    if stated["test"] is None:
        return Imported(oof, None, warnings)
    file = manifest.folder / stated["test"]
    table = read_csv(file, tables.id_column, task)
    ids = table.pop("id").to_numpy(dtype=object)
    wanted = np.array([], dtype=object) if tables.test is None else tables.test["id"].unique()
    demand_same_ids(np.asarray(wanted, dtype=object), ids, "the test table's ids", file.name)
    table = table.drop(columns=[] if "fold" in task.columns else ["fold"], errors="ignore")
    return Imported(oof, Predictions(task, ids, read_values(table, task, ids, file.name, warnings)), warnings)


def read_csv(file: Path, id_column: str, task: Task) -> pd.DataFrame:
    """The table as text, its ids, each once, under `id`.

    Raises:
        PredictionsError: it is no such table.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise PredictionsError(f"{file.name} cannot be read as CSV: {error}") from error
    headers = [name for name in (id_column, "id") if name in table and name not in task.columns]
    if not headers:
        raise PredictionsError(f"{file.name} has no column {id_column!r} of ids; its columns are {', '.join(table.columns[:8])}")
    table = table.rename(columns={headers[0]: "id"})
    again = table["id"][table["id"].duplicated()].unique()
    if len(again):
        raise PredictionsError(f"{file.name}: {name_ids(again)} more than once")
    return table


def compare_folds(stated: pd.Series, own: np.ndarray, name: str, warnings: list[str]) -> np.ndarray:
    """(N,) int64: the folds that the file states.

    Raises:
        PredictionsError: they are no whole numbers from 0.
    """
    if not stated.str.fullmatch(r"\d+").all():
        strange = stated[~stated.str.fullmatch(r"\d+")].iloc[0]
        raise PredictionsError(f"{name}: fold is {strange!r}; wanted whole numbers from 0")
    fold = stated.astype(np.int64).to_numpy()
    if moved := int((fold != own).sum()):
        warnings.append(
            f"{name} held out {moved} of {len(fold)} ids in other folds than this workspace: a rule that is fitted on it and on "
            "others then learns from predictions of models that trained on the rows it is scored on: its CV is somewhat too good"
        )
    return fold


def read_values(table: pd.DataFrame, task: Task, ids: Sequence[str], name: str, warnings: list[str]) -> np.ndarray:
    """(N, outputs) float64, rows of probabilities summing to 1.

    Raises:
        PredictionsError: columns that are not the classes, or cells that are no probabilities (or numbers).
    """
    columns, given = list(task.columns), list(table.columns)
    single = len(task.targets) == 1 and task.target.link == "softmax" and task.target.width == 2
    if single and len(given) == 1 and given[0] in (task.target.name, task.target.classes[1]):
        numbers = to_numbers(table, ids, name)
        values = np.hstack([1 - numbers, numbers])
    else:
        extra, lacking = [c for c in given if c not in columns], [c for c in columns if c not in given]
        if extra or lacking:
            raise PredictionsError(
                f"{name}: its columns are not what the competition predicts. Too many: {', '.join(extra[:5]) or 'none'}; "
                f"missing: {', '.join(lacking[:5]) or 'none'}"
            )
        values = to_numbers(table[columns], ids, name)
    for target in task.targets:
        if not target.classes:
            continue
        part = values[:, task.slices[target.name]]
        wild = ((part < 0) | (part > 1)).any(axis=1)
        total = part.sum(axis=1, keepdims=True)
        if wild.any() or (target.link == "softmax" and (total == 0).any()):
            strange = np.asarray(ids, dtype=object)[wild if wild.any() else total[:, 0] == 0]
            raise PredictionsError(f"{name}: {name_ids(strange)} have what are no probabilities (0 to 1) of {target.name!r}")
        if target.link == "softmax":
            off = int((np.abs(total - 1) > SUM_TOLERANCE).sum())
            warnings += [f"{name}: {off} rows of {target.name!r} do not sum to 1; they were divided by their sum"] if off else []
            part /= total
    return values


def to_numbers(table: pd.DataFrame, ids: Sequence[str], name: str) -> np.ndarray:
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise PredictionsError(f"{name}: {name_ids(np.asarray(ids, dtype=object)[bad])} have cells that are no numbers")
    return values
