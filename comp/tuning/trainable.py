"""Trainable: one trial of a search, in a worker process of Ray: a run like any other that reports its score after each epoch.

What is tried, and what becomes of what is reported, is the driver's business (comp.tuning.tuner).
"""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from comp.errors import CompError, RunInterrupted
from comp.events import Emit, EpochFinished, Event, FoldFinished, FoldSkipped, FoldStarted, Notice
from comp.manifest import load_manifest
from comp.merge import score_fold
from comp.plan import RunPlan
from comp.project import Project, atomic_write
from comp.run import run_experiment
from comp.runs import fold_folder, list_seeds, read_fold
from comp.search import Drawn, Parameter, open_space, to_sets
from comp.train import train_folds
from comp.trials import TrialRecord, read_trials

LOOK_EVERY_S = 0.5

Report = Callable[[int, float], None]
"""(epochs over all folds, score by then)"""


@dataclass(frozen=True)
class TrialOrder:
    """What all trials of a search share; plain data.

    Attributes:
        root: the workspace.
        sets: laid over the manifest of experiment `name` before what a trial varies.
        only: numbers of the folds that each trial trains.
        folder: of the search.
        stop_file: is there when all trials are to save and end.
    """

    root: str
    name: str
    sets: tuple[str, ...]
    only: tuple[int, ...]
    folder: str
    stop_file: str


class TrialFailed(Exception):
    """A trial that could not be trained; the message says why."""


class TrialStopped(Exception):
    """A trial that has saved and ended because the search was told to."""


class Answered(Exception):
    """Values that were tried before. `record`: what came of them."""

    def __init__(self, record: TrialRecord) -> None:
        super().__init__(record.trial)
        self.record = record


# ---- points --------------------------------------------------------------------------------------------------------------


def to_point(parameters: Sequence[Parameter], drawn: Drawn) -> dict[str, int | float]:
    """What was drawn as Tune's searchers have it: of a range with steps the number of the step, whatever it begins with.

    They want every parameter: one that had no place in a grid's combination has its least value.
    """
    return {parameter.name: _to_number(parameter, drawn.get(parameter.name, parameter.low)) for parameter in parameters}


def _to_number(parameter: Parameter, value: float) -> int | float:
    if parameter.step is not None:
        return round((value - parameter.low) / parameter.step)
    return float(value) if parameter.kind in ("uniform", "loguniform") else int(value)


def to_drawn(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, int | float]:
    """The reverse of to_point."""
    return {parameter.name: _to_value(parameter, point[parameter.name]) for parameter in parameters if parameter.name in point}


def _to_value(parameter: Parameter, number: float) -> int | float:
    if parameter.step is not None:
        value = parameter.low + int(number) * parameter.step
        return round(value) if parameter.kind == "int" else float(f"{value:.12g}")
    return float(number) if parameter.kind in ("uniform", "loguniform") else int(number)


# ---- one trial -----------------------------------------------------------------------------------------------------------


def run_trial(config: Mapping[str, Any], order: TrialOrder) -> None:
    """What Ray Tune calls for each trial. The last report says how it ended, and each fold's score.

    Raises:
        TrialFailed, TrialStopped
    """
    from ray import tune

    def report(epochs: int, score: float, **more: Any) -> None:
        tune.report({"score": score, "epoch": epochs, "elapsed_s": course.elapsed_s, "warnings": course.take_warnings(), **more})

    course = Course(report)
    try:
        train_trial(config, order, course)
    except Answered as answered:
        repeat(answered.record, report)
    except RunInterrupted as error:
        raise TrialStopped(str(error)) from None
    except CompError as error:
        raise TrialFailed(str(error)) from None
    except Exception as error:  # of a plugin, or of comp
        raise TrialFailed(f"{type(error).__name__}: {error} (the traceback is in {keep_traceback(order)})") from None
    else:
        report(course.epochs, course.demand_score(), ended="done", per_fold=course.finished, done=True)


def train_trial(config: Mapping[str, Any], order: TrialOrder, course: Course) -> None:
    """Train what the trial's folds still lack, and tell of each epoch but the last: then it is too late to prune."""
    project = Project(Path(order.root))
    project.activate()
    space = open_space(load_manifest(project, order.name, order.sets, library=True))
    sets = [*order.sets, *to_sets(space.settle(to_drawn(space.parameters, config)))]
    stop = watch(Path(order.stop_file))

    def train(plan: RunPlan, wanted: Sequence[str], emit: Emit, _: Callable[[], bool]) -> Any:
        if known := find_twin(Path(order.folder), plan.run.digest):
            raise Answered(known)
        course.begin(plan, wanted)
        return train_folds(plan, wanted, emit, stop)

    run_experiment(project, order.name, sets=sets, only=order.only, place="trials", train=train, emit=course)


def find_twin(folder: Path, digest: str) -> TrialRecord | None:
    """A trial of the search that had the same values, and has ended."""
    return next((record for record in read_trials(folder) if record.digest == digest and record.state != "running"), None)


def repeat(record: TrialRecord, report: Callable[..., None]) -> None:
    """Report what a trial with the same values came to, once: on its way there it would be judged, and perhaps pruned, anew.

    Raises:
        TrialFailed: it failed.
    """
    if record.state == "failed" or record.score is None:
        raise TrialFailed(record.why)
    report(record.epochs, record.score, ended=record.state, per_fold=record.per_fold, done=True)


def watch(stop_file: Path) -> Callable[[], bool]:
    """Whether the file is there, looked at now and then: the engine asks at every step, and the folder may be on a network."""
    looked_at, there = 0.0, False

    def stop() -> bool:
        nonlocal looked_at, there
        if not there and time.monotonic() - looked_at > LOOK_EVERY_S:
            looked_at, there = time.monotonic(), stop_file.exists()
        return there

    return stop


def keep_traceback(order: TrialOrder) -> Path:
    path = Path(order.folder) / "crashes" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    atomic_write(path, traceback.format_exc())
    return path.relative_to(order.root)


# ---- its course ----------------------------------------------------------------------------------------------------------


@dataclass
class Course:
    """Reads a run's events: how many epochs the folds have had, and what they score.

    Attributes:
        plan: of the run, whose metric scores finished folds: one that was trained earlier may have been scored by another.
        finished: fold -> the deciding metric's held-out score.
        before: epochs of what is finished (folds, and seeds of one).
        now: epochs of what is being trained, a part of `fold`.
        warnings: texts that nobody was told yet.
        began: when the first fold began (time.monotonic); 0: not yet.
    """

    report: Report
    wanted: Sequence[str] = ()
    folder: Path = Path()
    plan: RunPlan | None = None
    finished: dict[str, float] = field(default_factory=dict)
    before: int = 0
    now: int = 0
    fold: str = ""
    warnings: list[str] = field(default_factory=list)
    began: float = 0.0

    def begin(self, plan: RunPlan, wanted: Sequence[str]) -> None:
        self.wanted, self.plan, self.folder = list(wanted), plan, plan.run.folder

    @property
    def epochs(self) -> int:
        return self.before + self.now

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began if self.began else 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case Notice(text=text, level="warning"):
                self.warnings.append(text)
            case FoldStarted(fold=fold, resumed_epoch=epoch):
                earlier = count_seed_epochs(fold_folder(self.folder, fold)) if fold != self.fold else 0
                self.before, self.now, self.fold = self.epochs + earlier, epoch, fold
                self.began = self.began or time.monotonic()
            case EpochFinished(epoch=epoch, epochs=epochs, scores=scores):
                self.now = epoch + 1
                if epoch + 1 < epochs:
                    self.tell([*self.finished.values(), headline(scores)])
            case FoldFinished(fold=fold):
                self.finished[fold] = score_fold(self.plan, fold)
                if len(self.finished) < len(self.wanted):
                    self.tell([*self.finished.values()])
            case FoldSkipped(fold=fold, why="complete"):
                folder = fold_folder(self.folder, fold)
                record = read_fold(folder) or {}
                self.before += record["epochs"] * len(list_seeds(folder))
                self.finished[fold] = score_fold(self.plan, fold)

    def take_warnings(self) -> list[str]:
        taken, self.warnings = self.warnings, []
        return taken

    def tell(self, scores: Sequence[float]) -> None:
        score = float(np.mean(scores))
        if math.isfinite(score):  # no searcher can do anything with another
            self.report(self.epochs, score)

    def demand_score(self) -> float:
        """The mean over the folds.

        Raises:
            TrialFailed: the metric is undefined on one of them.
        """
        undefined = [fold for fold, score in self.finished.items() if not math.isfinite(score)]
        if undefined:
            raise TrialFailed(f"the metric has no value on the held-out rows of fold {', '.join(undefined)}")
        return float(np.mean([self.finished[fold] for fold in self.wanted]))


def count_seed_epochs(fold: Path) -> int:
    """Epochs of the seeds that an earlier call has completed in a fold that is not complete itself; nobody tells of these."""
    return sum((read_fold(folder) or {"epochs": 0})["epochs"] for folder in fold.glob("seed*"))


def headline(scores: Mapping[str, float]) -> float:
    """The deciding metric's; NaN where it has no value."""
    return next(iter(scores.values()), math.nan)
