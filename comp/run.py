"""`comp run`: trains the folds of an experiment that are not done yet, and merges what they leave.

What is trained how is the engine's business, whose turn a fold is comp.train's; this module decides which run a manifest belongs
to, and when a run is whole.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comp.adopt import adopt_begun, find_fitting
from comp.blend import run_blend
from comp.changes import remember_parents, tell_changed_parents
from comp.competition import encode_targets, unit_table
from comp.errors import CompError, RunInterrupted, WorkspaceError
from comp.events import Emit, Event, EventLog, Notice, RunFinished, RunStopped, Tick, to_record
from comp.given import RunResult
from comp.imported import run_imported
from comp.lacking import fail_without_disk, fail_without_memory
from comp.manifest import Manifest, load_manifest
from comp.merge import make_chain, merge_run
from comp.plan import (
    Place,
    RunPlan,
    close_logger,
    describe_test_set,
    open_loggers,
    open_run,
    plan_run,
    reopen_run,
    state_run,
    tell_logger,
)
from comp.project import Project
from comp.report.html import write_report
from comp.runs import FULL, fold_folder, read_fold
from comp.shown import look_at_files, look_in_stores, show_run
from comp.stopping import Stop, catch_stop, end_after
from comp.train import Train, train_folds

if TYPE_CHECKING:
    from comp.material import Material


@dataclass(frozen=True)
class Wishes:
    """What a call asks for besides what the manifests say.

    Attributes:
        folds: how many to divide into, whatever the manifest says.
        only: fold numbers to train; None: all.
        full: afterwards train on all rows, too.
        place: `debug`: the whole path on a handful of batches, kept apart; `trials`: one of a search.
        profile: measure where the time of each epoch goes.
        resume: a folder whose folds of this run, finished or begun, are taken over first.
        max_hours: after which to save and end, from `began` (of time.monotonic) on.
        names: the experiments of the command, where there are several.
        options: further words of the command, which say where it trains.
    """

    sets: Sequence[str] = ()
    folds: int | None = None
    only: Sequence[int] | None = None
    full: bool = False
    place: Place = "runs"
    profile: bool = False
    resume: Path | None = None
    max_hours: float | None = None
    began: float = field(default_factory=time.monotonic)
    names: Sequence[str] = ()
    options: Sequence[str] = ()

    @property
    def deadline(self) -> float:
        return math.inf if self.max_hours is None else end_after(self.max_hours, self.began)

    def command(self, name: str) -> str:
        """What goes on where a run stopped. What was taken over from `resume` is here by then."""
        words = ["comp run", *(self.names or [name]), *(f"--set {shlex.quote(text)}" for text in self.sets)]
        words += [f"--folds {self.folds}"] if self.folds else []
        words += [f"--only {','.join(map(str, self.only))}"] if self.only is not None else []
        words += ["--full"] * self.full + ["--debug"] * (self.place == "debug") + ["--profile"] * self.profile
        words += [f"--max-hours {self.max_hours:g}"] if self.max_hours else []
        return " ".join([*words, *self.options])


@dataclass(frozen=True)
class Begun:
    """A run that is about to train `wanted`: folds, in order."""

    plan: RunPlan
    wanted: list[str]


def run_experiment(project: Project, name: str, *, train: Train | None = None, emit: Emit, **wishes: Any) -> RunResult:
    """Train what is missing, and merge.

    Args:
        train: who trains the folds; None: this process, one after another.
        wishes: those of Wishes.

    Raises:
        ManifestError, DataError, FoldsError: nothing was run.
        RunInterrupted: Ctrl-C or a scheduler's signal; everything is saved.
        RunError: training failed; finished epochs are kept.
    """
    wished = Wishes(**wishes)
    begun = begin_run(project, name, wished, emit)
    if isinstance(begun, RunResult):
        return begun
    with open_readers(begun.plan, emit) as tell, catch_stop(wished.deadline) as stop:
        started, material, over = time.monotonic(), None, ""
        try:
            with fail_without_memory():
                material = (train or train_folds)(begun.plan, begun.wanted, tell, stop)
        except RunInterrupted as interrupted:
            tell_stopped(tell, "out of time" if stop.out_of_time else "interrupted")
            over = say_over(interrupted, wished, stop, name)
        except CompError as error:
            tell_stopped(tell, str(error))
            raise
        with fail_without_disk(), fail_without_memory():
            result = finish_run(begun.plan, tell, time.monotonic() - started)
            if over:
                tell(Notice(over))
    with fail_without_disk(), fail_without_memory():
        report_run(begun.plan, material)
    return result


def tell_stopped(tell: Emit, why: str) -> None:
    with suppress(WorkspaceError):  # a full disk takes no line of events either; what is to be said is why the run stopped
        tell(RunStopped(why))


def begin_run(project: Project, name: str, wished: Wishes, emit: Emit) -> Begun | RunResult:
    """Open the run that the manifest belongs to. One that trains nothing (a blend, imported predictions) is made at once.

    Raises:
        ManifestError, DataError, FoldsError, WorkspaceError: nothing was run.
    """
    manifest, debug = load_manifest(project, name, wished.sets, wished.folds, library=True), wished.place == "debug"
    tell_changed_parents(manifest, emit)
    if manifest.is_blend or manifest.is_imported:
        what = "is a blend, which" if manifest.is_blend else "was imported, and"
        refuse_training(f"{name} {what} trains nothing", wished)
        result = (run_blend if manifest.is_blend else run_imported)(project, manifest, emit)
        remember_parents(manifest)
        return result
    plan = plan_run(project, shorten(manifest) if debug else manifest, wished.place)
    wanted = choose_folds(plan, wished.only, wished.full)
    make_chain(manifest, plan.competition.task)  # what does not fit is said before training, not after
    copies = find_fitting(plan, wished.resume) if wished.resume else []  # a refusal leaves nothing behind
    plan = replace(open_run(plan), profile=wished.profile)
    if plan.profile and all(read_fold(fold_folder(plan.run.folder, fold)) for fold in wanted):
        emit(Notice("these folds are done, so that there is nothing to profile; --debug trains a handful of batches in any case"))
    if wished.place == "runs":
        remember_parents(manifest)
    if about_test := describe_test_set(plan.competition.tables):
        emit(Notice(about_test))
    if copies:
        adopt_begun(plan, copies, emit)
        plan = reopen_run(plan)
    return Begun(plan, wanted)


def finish_run(plan: RunPlan, tell: Emit, elapsed_s: float) -> RunResult:
    """Merge the folds that are done, and tell how the run stands."""
    if not (plan.run.folder / "environment.json").exists():
        state_run(plan, plan.run.state)
        tell(Notice(f"{plan.run.folder} was removed while the run trained; it holds what was trained since", "warning"))
    scores = merge_run(plan)
    complete = plan.run.complete
    tell(RunFinished(complete, scores or {}, elapsed_s, plan.manifest.name))
    return RunResult(plan.run.digest, plan.run.folder, complete, scores)


def report_run(plan: RunPlan, material: Material | None = None) -> None:
    """Write report.html. `material`: what this process trained from, whose stores hold the images that are shown."""
    units = unit_table(plan.competition.tables)
    shown = show_run(plan, look_in_stores(material) if material else look_at_files(plan.competition.tables))
    write_report(plan.run.folder, units["id"].to_numpy(dtype=object), encode_targets(plan.competition.task, units), shown)


def say_over(interrupted: RunInterrupted, wished: Wishes, stop: Stop, name: str) -> str:
    """What is saved, and the command that goes on, where the hours are over.

    Raises:
        RunInterrupted: somebody has asked for the end; with the same words.
    """
    kept = f"{interrupted.lost}; the rest is saved" if interrupted.lost else "everything is saved"
    where = "" if interrupted.lost else " where it stopped"
    said = f"{kept}: `{wished.command(name)}` goes on{where}."
    if stop.out_of_time:
        return f"the {wished.max_hours:g} hours are over; {said}"
    raise RunInterrupted(f"interrupted; {said}") from interrupted


def refuse_training(why: str, wished: Wishes) -> None:
    """Raises WorkspaceError: a wish that only training could fulfil."""
    given = {"--folds": wished.folds, "--only": wished.only, "--full": wished.full, "--debug": wished.place == "debug"}
    refused = [option for option, value in {**given, "--profile": wished.profile, "--resume": wished.resume}.items() if value]
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


@contextmanager
def open_readers(plan: RunPlan, emit: Emit) -> Iterator[Emit]:
    """The stream of events: the caller's view, the run's events.jsonl and the manifest's loggers."""
    log = EventLog(plan.run.folder / "events.jsonl")

    def note(event: Event) -> None:
        log(event)
        emit(event)

    loggers = open_loggers(plan, note)

    def tell(event: Event) -> None:
        note(event)
        if loggers and not isinstance(event, Tick):
            record = to_record(event)
            loggers[:] = [logger for logger in loggers if tell_logger(logger, record, note)]

    try:
        yield tell
    finally:
        for logger in loggers:
            close_logger(logger, note)
