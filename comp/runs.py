"""Runs: what was trained under one digest, found again by name; and where a run keeps its files.

A run's folder bears its digest. This module lists and finds runs and reads what they state about themselves; training
(engine), predictions and scores have modules of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comp.errors import WorkspaceError
from comp.formats import SCORES, read_record
from comp.project import Project, atomic_write, hash_file

FORMAT = 1
FULL = "full"
CHECKPOINTS = ("last.ckpt", "last.ckpt.1")
"""What a fold resumes from, and the one before it."""


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Attributes:
        folder: experiments/NAME/runs/DIGEST.
        state: environment.json: what it was made with, and which folds make it whole.
    """

    experiment: str
    digest: str
    folder: Path
    state: dict[str, Any]

    @property
    def folds(self) -> list[str]:
        """All folds that make the run whole: "0", "1", ..."""
        return list(self.state["folds"])

    @property
    def is_blend(self) -> bool:
        return bool(self.state.get("blend"))

    @property
    def is_imported(self) -> bool:
        return bool(self.state.get("imported"))

    @property
    def is_given(self) -> bool:
        """Whether its predictions were blended or imported: it has neither weights nor folds of its own."""
        return self.is_blend or self.is_imported

    @property
    def done(self) -> list[str]:
        if self.is_given:
            return self.folds if (self.folder / "scores.json").exists() else []
        return [fold for fold in self.folds if (fold_folder(self.folder, fold) / "fold.json").exists()]

    @property
    def complete(self) -> bool:
        """Every fold is done, and merged: a process may have been killed between the two."""
        return self.done == self.folds and bool((self.scores() or {}).get("complete"))

    @property
    def has_full(self) -> bool:
        return (fold_folder(self.folder, FULL) / "fold.json").exists()

    @property
    def made_at(self) -> float:
        return float(self.state["made_at"])

    def scores(self) -> dict[str, Any] | None:
        file = self.folder / "scores.json"
        return read_record(file, SCORES) if file.exists() else None


def scored_file(run_folder: Path) -> Path:
    """The OOF that scores.json is of: after post, where the run has any."""
    file = run_folder / "post.parquet"
    return file if file.exists() else run_folder / "oof.parquet"


def read_fold(folder: Path) -> dict[str, Any] | None:
    """fold.json of a complete fold, or None.

    Raises:
        FormatError: a newer comp wrote it.
    """
    file = folder / "fold.json"
    if not file.exists():
        return None
    return read_record(file, FORMAT)


def hash_files(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of what a fold leaves, its seeds' folders among it: fold.json holds it, for whoever is given a copy."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    # history.csv is a logger's: where a fold trains in another process than its events are read in, it may lie a line behind.
    own = ("fold.json", *CHECKPOINTS, "history.csv")
    return {name: hash_file(path) for name, path in names.items() if name not in own and not path.name.startswith(".")}


def renew_hash(folder: Path, name: str) -> None:
    """After a complete fold's file has changed (another view of its predictions)."""
    record = read_fold(folder)
    if record and name in record.get("files", {}):
        record["files"][name] = hash_file(folder / name)
        atomic_write(folder / "fold.json", json.dumps(record, indent=2))


def fold_folder(run_folder: Path, fold: str) -> Path:
    return run_folder / (FULL if fold == FULL else f"fold{fold}")


def seed_folder(fold: Path, seed: int) -> Path:
    """Where a fold that is trained with several seeds keeps one of them."""
    return fold / f"seed{seed}"


def list_seeds(fold: Path) -> list[int | None]:
    """The seeds that a complete fold was trained with; [None] where there is one alone, in the fold's own folder."""
    record = read_fold(fold) or {}
    return [int(seed) for seed in record["seeds"]] if record.get("seeds") else [None]


def list_runs(project: Project, name: str) -> list[Run]:
    """All runs of an experiment, the newest first.

    Raises:
        FormatError: a run was written by a newer comp.
    """
    found = []
    for file in sorted((project.experiment(name) / "runs").glob("*/environment.json")):
        found.append(Run(name, file.parent.name, file.parent, read_record(file, FORMAT)))
    return sorted(found, key=lambda run: run.made_at, reverse=True)


def find_run(project: Project, reference: str, partial: bool = False) -> Run:
    """The run that `NAME` or `NAME@digest` means: the newest complete one, or with `partial` else the one with most folds.

    Raises:
        WorkspaceError: there is none; the message says what there is.
    """
    name, _, digest = reference.partition("@")
    runs = list_runs(project, name)
    if digest:
        runs = [run for run in runs if run.digest.startswith(digest)]
        if len(runs) != 1:
            raise WorkspaceError(
                f"{reference}: {len(runs)} runs of {name} start with '{digest}'; they are {describe(list_runs(project, name))}."
            )
    whole = [run for run in runs if run.complete]
    if whole:
        return whole[0]
    begun = [run for run in runs if run.done]
    if partial and begun:
        return max(begun, key=lambda run: (len(run.done), run.made_at))
    raise WorkspaceError(f"{reference} has no complete run ({describe(runs)}); `comp run {name}` trains what is missing.")


def describe(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.digest} with {len(run.done)} of {len(run.folds)} folds" for run in runs) or "no runs at all"
