"""Adopting: folds of the same run that were trained elsewhere, and copied here, become folds of the run here.

A copy is a run's folder (manifest.resolved.yaml, environment.json, fold0, ...), wherever it lies and whatever it is called. It is
only read. Nothing that is here is overwritten.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comp.changes import list_changes, say_few
from comp.digest import list_specs
from comp.errors import ManifestError, WorkspaceError
from comp.events import Emit, Notice, read_events
from comp.formats import read_record
from comp.manifest import Manifest, load_resolved
from comp.plan import RunPlan, has_begun
from comp.project import append_line, atomic_write, hash_file
from comp.runs import CHECKPOINTS, FORMAT, FULL, Run, fold_folder, read_fold
from comp.train import lock_fold

SHOWN = 3
LAST = (*CHECKPOINTS, "fold.json")
"""Files that say that the others are there."""


@dataclass(frozen=True)
class Copy:
    """A run's folder that lies elsewhere. `state`: its environment.json."""

    folder: Path
    state: Mapping[str, Any]

    @property
    def folds(self) -> list[str]:
        return [fold for fold in (*self.state["folds"], FULL) if fold_folder(self.folder, fold).is_dir()]


def find_copies(source: Path) -> list[Copy]:
    """The runs in `source`, which is a run's folder or lies above some.

    Raises:
        WorkspaceError: there is none.
    """
    found = [Copy(folder, read_record(folder / "environment.json", FORMAT)) for folder in walk_runs(source)]
    if not found:
        raise WorkspaceError(f"no run in {source}: wanted a run's folder (with environment.json in it), or a folder above one.")
    return found


def walk_runs(source: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(source):
        folders.sort()
        if {"environment.json", "manifest.resolved.yaml"} <= {*files}:
            folders.clear()
            yield Path(at)
        else:
            folders[:] = [name for name in folders if name not in ("debug", "trials")]


def find_fitting(plan: RunPlan, source: Path) -> list[Copy]:
    """The copies of this run in `source`; the run here need not be opened yet.

    Raises:
        WorkspaceError: there is nothing of this run in it.
    """
    copies = find_copies(source)
    differences = {copy.folder: describe_differences(plan.manifest, plan.run, copy) for copy in copies}
    fitting = [copy for copy in copies if not differences[copy.folder]]
    if not fitting:
        raise WorkspaceError(say_foreign(source, f"{plan.manifest.name}@{plan.run.digest}", differences))
    return fitting


def adopt_begun(plan: RunPlan, copies: Sequence[Copy], emit: Emit) -> None:
    """What copies of this run have: finished folds, and those that were interrupted, to go on from there.

    Raises:
        WorkspaceError: a file is not what it was written as.
    """
    for copy in copies:
        adopt_folds(plan.run, copy, emit, begun=True)


def say_foreign(source: Path, wanted: str, differences: Mapping[Path, Sequence[str]]) -> str:
    """Why none of the runs in a folder is the one here."""
    shown = [f"  {folder}: {say_few([*found])}" for folder, found in list(differences.items())[:SHOWN]]
    more = [f"  and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else []
    return "\n".join([f"{source} has no folds of {wanted}; between there and here differ:", *shown, *more])


def describe_differences(manifest: Manifest, run: Run, copy: Copy) -> list[str]:
    """In what a copy is of another run than this one: keys, tables and other contents, plugins' code. Empty: it is the same."""
    try:
        stored = load_resolved(manifest.project, manifest.name, copy.folder / "manifest.resolved.yaml")
    except ManifestError as error:
        return [f"its manifest cannot be read here ({error.faults[0]})"]
    there, here = (json.loads(json.dumps(one.relevant())) for one in (stored, manifest))
    contents = compare(copy.state.get("contents", {}), run.state["contents"], "")
    names = {f"{kind}.{spec['use']}" for kind, spec in list_specs(manifest.relevant())}
    plugins = [
        {name: code for name, code in hashes.items() if name in names}
        for hashes in (copy.state["plugins"], run.state.get("plugins") or manifest.plugin_hashes())
    ]
    return [*list_changes(there, here), *contents, *compare(*plugins, "the code of ")]


def compare(there: Mapping[str, str], here: Mapping[str, str], what: str) -> list[str]:
    return [f"{what}{name}" for name in sorted({*there, *here}) if there.get(name) != here.get(name)]


def adopt_folds(run: Run, copy: Copy, emit: Emit, begun: bool = False) -> list[str]:
    """Take over the finished folds of a copy of this run that are not here. Returns which.

    Args:
        begun: those that are not finished, too, where nothing of them is here.

    Raises:
        WorkspaceError: a file of theirs is not what it was written as (nothing is taken then); or this folder cannot be written.
    """
    finished = [fold for fold in copy.folds if read_fold(fold_folder(copy.folder, fold))]
    missing = [fold for fold in finished if not read_fold(fold_folder(run.folder, fold))]
    for fold in finished:
        if fold not in missing:
            emit(Notice(f"fold {fold} is here already, and stays as it is"))
    broken = [text for fold in missing for text in check_files(fold_folder(copy.folder, fold))]
    if broken:
        raise WorkspaceError("\n".join([*broken, "copy them again from where they were trained; nothing was taken over."]))
    if not has_begun(run):
        adopt_size(run, copy)
    taken = [fold for fold in missing if adopt_fold(run, copy, fold, emit)]
    if begun:
        others = [fold for fold in copy.folds if fold not in finished and has_state(fold_folder(copy.folder, fold))]
        taken += [fold for fold in others if adopt_fold(run, copy, fold, emit)]
    carry_events(run, copy, taken)
    return taken


def adopt_size(run: Run, copy: Copy) -> None:
    """All folds of a run see images stored at one size: where none has begun here, at that of the copy."""
    file = run.folder / "environment.json"
    state = read_record(file, FORMAT)
    state["form"].pop("stored_px", None)
    state["form"] |= {key: value for key, value in copy.state["form"].items() if key == "stored_px"}
    atomic_write(file, json.dumps(state, indent=2, ensure_ascii=False))


def check_files(folder: Path) -> list[str]:
    """What is wrong with the files of a finished fold, by the hashes in its fold.json."""
    files: Mapping[str, str] = (read_fold(folder) or {}).get("files", {})
    return [
        f"{folder / name} {'is not the file that was written' if (folder / name).is_file() else 'is missing'}"
        for name, sha256 in files.items()
        if not (folder / name).is_file() or hash_file(folder / name) != sha256
    ]


def has_state(folder: Path) -> bool:
    """Whether a fold has anything to go on from: a checkpoint, or a seed that is done."""
    return any(path.name in LAST for path in folder.rglob("*"))


def adopt_fold(run: Run, copy: Copy, fold: str, emit: Emit) -> bool:
    """Take over one fold. False: another process here has it, or this run has begun it where the copy has not finished it."""
    source, target = fold_folder(copy.folder, fold), fold_folder(run.folder, fold)
    record = read_fold(source)
    lock = lock_fold(target)
    if lock is None:
        emit(Notice(f"fold {fold} is in another process here, and stays its"))
        return False
    try:
        if read_fold(target) or (record is None and has_state(target)):
            emit(Notice(f"fold {fold} has begun here already, and goes on from that"))
            return False
        copy_files(source, target)
        if record:
            for name in CHECKPOINTS:
                (target / name).unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{source} cannot be copied to {target}: {error.strerror or error}") from error
    finally:
        lock.release()
    unchecked = "" if record is None or "files" in record else "; an older comp made it, without hashes to check its files by"
    what = "where it stopped" if record is None else "finished"
    emit(Notice(f"fold {fold} is taken over from {copy.folder}, {what}{unchecked}", "warning" if unchecked else "info"))
    return True


def copy_files(source: Path, target: Path) -> None:
    """A fold's files, those last that say that the others are there: a process that is killed leaves no half of a fold."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(source, part, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(".*"))
        files = [path.relative_to(part) for path in part.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda file: (len(file.parts) == 1 and file.name in LAST, file.name in LAST)):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(part / file, target / file)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def carry_events(run: Run, copy: Copy, folds: Sequence[str]) -> None:
    """What happened in these folds, for the report's curves."""
    for record in read_events(copy.folder / "events.jsonl"):
        if record.get("fold") in folds:
            append_line(run.folder / "events.jsonl", json.dumps(record, ensure_ascii=False))
