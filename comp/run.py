"""`comp run`: trains the folds of an experiment that are not done yet, one at a time, and merges what they leave.

What is trained how is the engine's business; this module decides which run a manifest belongs to, which folds are free,
and when a run is whole.
"""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from comp.blend import run_blend
from comp.changes import remember_parents, tell_changed_parents
from comp.competition import encode_targets, unit_table
from comp.errors import RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Event, EventLog, FoldSkipped, Notice, RunFinished, RunStopped, Tick, to_record
from comp.given import RunResult
from comp.imported import run_imported
from comp.manifest import Manifest, load_manifest
from comp.merge import make_chain, merge_run
from comp.plan import Place, RunPlan, describe_test_set, open_loggers, open_run, plan_run, tell_logger
from comp.project import Project
from comp.report.html import write_report
from comp.runs import FULL, fold_folder, read_fold
from comp.shown import look_at_files, look_in_stores, show_run

if TYPE_CHECKING:
    from comp.material import AskTeachers, Material

WAIT_S = 1.0

Train = Callable[[RunPlan, Sequence[str], Emit, Callable[[], bool]], "Material | None"]
"""Trains folds of a plan, tells of it, and asks whether to stop. Returns what they were trained from, where this process has it."""


def run_experiment(
    project: Project,
    name: str,
    *,
    sets: Sequence[str] = (),
    folds: int | None = None,
    only: Sequence[int] | None = None,
    full: bool = False,
    place: Place = "runs",
    train: Train | None = None,
    emit: Emit,
) -> RunResult:
    """Train what is missing, and merge.

    Args:
        only: fold numbers to train; None: all.
        full: afterwards train on all rows, too.
        place: `debug`: the whole path on a handful of batches, kept apart; `trials`: one of a search.
        train: who trains the folds; None: this process, one after another.

    Raises:
        ManifestError, DataError, FoldsError: nothing was run.
        RunInterrupted: Ctrl-C or a scheduler's signal; everything is saved.
        RunError: training failed; finished epochs are kept.
    """
    manifest, debug = load_manifest(project, name, sets, folds, library=True), place == "debug"
    tell_changed_parents(manifest, emit)
    if manifest.is_blend or manifest.is_imported:
        what = "is a blend, which" if manifest.is_blend else "was imported, and"
        refuse_training(f"{name} {what} trains nothing", {"--folds": folds, "--only": only, "--full": full, "--debug": debug})
        result = (run_blend if manifest.is_blend else run_imported)(project, manifest, emit)
        remember_parents(manifest)
        return result
    plan = plan_run(project, shorten(manifest) if debug else manifest, place)
    wanted = choose_folds(plan, only, full)
    make_chain(manifest, plan.competition.task)  # what does not fit is said before training, not after
    plan = open_run(plan)
    if place == "runs":
        remember_parents(manifest)
    if about_test := describe_test_set(plan.competition.tables):
        emit(Notice(about_test))
    again = " ".join(
        ["comp run", name, *(f"--set {shlex.quote(text)}" for text in sets), *([f"--folds {folds}"] if folds else [])]
    )
    again += (f" --only {','.join(map(str, only))}" if only is not None else "") + " --full" * full + " --debug" * debug
    with open_readers(plan, emit, again) as tell, catch_stop() as stop:
        started = time.monotonic()
        material = (train or train_folds)(plan, wanted, tell, stop)
        scores = merge_run(plan)
        complete = plan.run.complete
        tell(RunFinished(complete, scores or {}, time.monotonic() - started))
    units = unit_table(plan.competition.tables)
    shown = show_run(plan, look_in_stores(material) if material else look_at_files(plan.competition.tables))
    write_report(plan.run.folder, units["id"].to_numpy(dtype=object), encode_targets(plan.competition.task, units), shown)
    return RunResult(plan.run.digest, plan.run.folder, complete, scores)


def refuse_training(why: str, given: dict[str, Any]) -> None:
    """Raises WorkspaceError: a wish that only training could fulfil."""
    refused = [option for option, value in given.items() if value]
    if refused:
        raise WorkspaceError(f"{why}: {', '.join(refused)} cannot be honoured.")


def shorten(manifest: Manifest) -> Manifest:
    """For --debug: one epoch in each stage; the rows are limited where they are read."""
    values = manifest.values
    stages = [{**stage, "epochs": 1} for stage in values["stages"] or []]
    return manifest.with_values({**values, "train": {**values["train"], "epochs": max(1, len(stages))}, "stages": stages or None})


def choose_folds(plan: RunPlan, only: Sequence[int] | None, full: bool) -> list[str]:
    """The folds this call is to train, in order.

    Raises:
        WorkspaceError: a fold that does not exist.
    """
    known = plan.run.folds
    chosen = known if only is None else [str(number) for number in only]
    strange = [fold for fold in chosen if fold not in known]
    if strange:
        raise WorkspaceError(f"--only {','.join(strange)}: the folds are {', '.join(known)} (they count from 0).")
    return [*chosen, *([FULL] if full else [])]


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
                teachers = teachers or open_teachers(plan)
                material.train_fold(fold, stop, teachers)
            pending.remove(fold)
        finally:
            lock.release()
    return material


def open_all(plan: RunPlan, wanted: Sequence[str], emit: Emit, stop: Callable[[], bool]) -> Material:
    from comp.material import open_material  # the engine, and torch with it, only where there is something to train

    material = open_material(plan, emit, stop)
    emit(material.describe_start(wanted))
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
        folder = fold_folder(plan.run.folder, fold)
        lock = FileLock(folder / ".lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            taken.append(fold)
            continue
        except OSError as error:
            raise WorkspaceError(f"{folder} cannot be written: {error.strerror or error}") from error
        return lock, fold, taken
    return None, "", taken


@contextmanager
def open_readers(plan: RunPlan, emit: Emit, again: str) -> Iterator[Emit]:
    """The stream of events: the caller's view, the run's events.jsonl and the manifest's loggers.

    `again`: the command that goes on after an interruption.
    """
    log = EventLog(plan.run.folder / "events.jsonl")
    loggers = open_loggers(plan, emit)

    def tell(event: Event) -> None:
        log(event)
        emit(event)
        if loggers and not isinstance(event, Tick):
            record = to_record(event)
            loggers[:] = [logger for logger in loggers if tell_logger(logger, record, emit)]

    try:
        yield tell
    except RunInterrupted as interrupted:
        tell(RunStopped("interrupted"))
        kept = f"{interrupted.lost}; the rest is saved" if interrupted.lost else "everything is saved"
        where = "" if interrupted.lost else " where it stopped"
        raise RunInterrupted(f"interrupted; {kept}: `{again}` goes on{where}.") from interrupted
    except RunError as error:
        tell(RunStopped(str(error)))
        raise
    finally:
        for logger in loggers:
            logger.close()


@contextmanager
def catch_stop() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a question that the engine asks between steps; a second Ctrl-C ends at once."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
