"""Training in this process: the folds of a run that nobody else has taken, one after another.

What is trained how is the engine's business; this module only decides whose turn a fold is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from comp.devices import describe_steps, train_on_devices
from comp.errors import RunInterrupted, WorkspaceError
from comp.events import Emit, FoldSkipped, Notice
from comp.lacking import fail_without_disk
from comp.plan import RunPlan
from comp.project import remove_leftovers
from comp.runs import FULL, fold_folder, read_fold

if TYPE_CHECKING:
    from comp.material import AskTeachers, Material

WAIT_S = 1.0

Train = Callable[[RunPlan, Sequence[str], Emit, Callable[[], bool]], "Material | None"]
"""Trains folds of a plan, tells of it, and asks whether to stop. Returns what they were trained from, where it is here."""


def train_folds(plan: RunPlan, wanted: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> Material | None:
    """Train every wanted fold that is neither complete nor in another process's hands; wait for those that are.

    Returns what they were trained from; None where there was nothing to train.
    """
    pending = []
    for fold in wanted:
        if read_fold(fold_folder(plan.run.folder, fold)):
            emit(FoldSkipped(fold, "complete"))
        else:
            pending.append(fold)
    material: Material | None = None
    teachers: AskTeachers | None = None
    told: set[str] = set()
    try:
        while pending:
            if stop():
                raise RunInterrupted("stopped between two folds")
            lock, fold, taken = take_free_fold(plan, pending)
            for other in [other for other in taken if other not in told]:
                emit(FoldSkipped(other, "in another process"))
                told.add(other)
            if lock is None:
                time.sleep(WAIT_S)
                continue
            try:
                if read_fold(fold_folder(plan.run.folder, fold)):
                    emit(FoldSkipped(fold, "complete"))
                else:
                    material = material or open_all(plan, wanted, emit, stop)
                    with fail_without_disk():
                        if plan.manifest.values["train"]["devices"] > 1:
                            train_on_devices(plan, fold, emit, stop)
                        else:
                            teachers = teachers or open_teachers(plan)
                            material.train_fold(fold, stop, teachers)
                pending.remove(fold)
            finally:
                lock.release()
    finally:
        if material:
            material.close()
    return material


def open_all(plan: RunPlan, wanted: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> Material:
    from comp.material import open_material  # the engine, and torch with it, only where there is something to train

    material = open_material(plan, emit, stop)
    emit(material.describe_start(wanted))
    if plan.manifest.values["train"]["devices"] > 1:
        emit(Notice(describe_steps(plan.manifest)))
    return material


def open_teachers(plan: RunPlan) -> AskTeachers | None:
    if not plan.teachers:
        return None
    from comp.teachers import Teachers

    return Teachers(plan).of


def take_free_fold(plan: RunPlan, pending: Sequence[str]) -> tuple[FileLock | None, str, list[str]]:
    """The lock of the first fold that no other process holds, that fold, and those before it that another one does hold.

    `full` comes only after the folds, whose lengths it may need.
    """
    taken: list[str] = []
    for fold in pending:
        if fold == FULL and len(pending) > 1:
            continue
        if lock := lock_fold(fold_folder(plan.run.folder, fold)):
            return lock, fold, taken
        taken.append(fold)
    return None, "", taken


def lock_fold(folder: Path) -> FileLock | None:
    """The lock of a fold's folder, taken; None where another process has it.

    Raises:
        WorkspaceError: the folder cannot be made.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        if not read_fold(folder):  # one that is complete may get another view of its predictions without this lock
            remove_leftovers(folder)
    except Timeout:
        return None
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror or error}") from error
    return lock
