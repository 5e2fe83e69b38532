"""How far a run is: the state that the live view and the plain lines show, kept from events. Prints nothing.

Of several experiments the folds are called `exp001/0` (comp.scale.relay.label).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from statistics import fmean

from comp.events import (
    EpochFinished,
    EpochProfiled,
    Event,
    FoldFinished,
    FoldQueued,
    FoldSkipped,
    FoldStarted,
    PredictionProgress,
    RunFinished,
    RunStarted,
    StageStarted,
    StepFinished,
    StoreProgress,
)


@dataclass
class FoldProgress:
    """One fold, as far as this process has seen it.

    Attributes:
        run: what it belongs to, once that has started.
        state: waiting | training | predicting | done | or why it was skipped.
        epoch: finished epochs; `step` of `steps` in the one that runs.
        best_epoch: counts from 0; -1 while there is no score.
        paced_from: (time, epochs done) at the first step that was told; the pace is measured from there, because a fold's
            first step also pays for what is imported and built.
    """

    fold: str
    run: RunStarted | None = None
    epochs: int = 0
    state: str = "waiting"
    stage: str = ""
    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    samples_per_s: float = 0.0
    score: float | None = None
    best: float | None = None
    best_epoch: int = -1
    paced_from: tuple[float, float] | None = None
    elapsed_s: float = 0.0
    predicted: str = ""

    @property
    def active(self) -> bool:
        return self.state in ("training", "predicting")

    @property
    def metric(self) -> str:
        return self.run.metric if self.run else "score"

    @property
    def done(self) -> float:
        """Epochs done, with the fraction of the one that runs."""
        return self.epoch + (self.step / self.steps if self.steps else 0.0)

    def epoch_s(self, now: float) -> float | None:
        """Seconds an epoch takes at the pace so far; None before there is one."""
        if self.paced_from is None:
            return None
        since, done = self.paced_from
        return (now - since) / (self.done - done) if self.done - done >= 0.02 else None

    def left_s(self, now: float) -> float | None:
        """Seconds until its last epoch at the pace so far; None before there is one."""
        pace = self.epoch_s(now)
        return None if pace is None or self.state != "training" else pace * max(0.0, self.epochs - self.done)


@dataclass
class RunProgress:
    """A whole run, or several experiments, as far as this process has seen them. Call `apply` with each event, in order.

    Attributes:
        runs: experiment -> how it started, and finished: how it ended.
        stores: what images are being read, by what they are.
        profiled: where the time went, with --profile.
    """

    clock: Callable[[], float] = time.monotonic
    runs: dict[str, RunStarted] = field(default_factory=dict)
    finished: dict[str, RunFinished] = field(default_factory=dict)
    folds: dict[str, FoldProgress] = field(default_factory=dict)
    stores: dict[str, StoreProgress] = field(default_factory=dict)
    profiled: list[EpochProfiled] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._handlers: dict[type, Callable] = {
            StepFinished: self._step,
            EpochFinished: self._epoch,
            EpochProfiled: self.profiled.append,
            PredictionProgress: self._prediction,
            StoreProgress: self._store,
            StageStarted: self._stage,
            RunStarted: self._run,
            RunFinished: self._run_finished,
            FoldQueued: self._queued,
            FoldStarted: self._fold,
            FoldSkipped: self._skipped,
            FoldFinished: self._fold_finished,
        }

    def apply(self, event: Event) -> None:
        handler = self._handlers.get(type(event))
        if handler:
            handler(event)

    def fold(self, name: str) -> FoldProgress:
        if name not in self.folds:
            run = self.runs.get(experiment_of(name)) or (next(iter(self.runs.values()), None) if "/" not in name else None)
            self.folds[name] = FoldProgress(name, run, run.epochs if run else 0)
        return self.folds[name]

    def of(self, experiment: str) -> list[FoldProgress]:
        """The folds of one experiment; where they do not bear its name, there is only one."""
        return [fold for fold in self.folds.values() if experiment_of(fold.fold) in ("", experiment)]

    @property
    def shown(self) -> list[FoldProgress]:
        """The folds of what has not ended yet; all of them where everything has."""
        going = [fold for fold in self.folds.values() if experiment_of(fold.fold) not in self.finished]
        return going or list(self.folds.values())

    @property
    def unfinished(self) -> bool:
        """Whether an experiment that has started has not ended."""
        return any(name not in self.finished for name in {*self.runs, *map(experiment_of, self.folds)} - {""})

    def left_s(self) -> float | None:
        """Seconds until the last fold is trained, at the pace of those that train now; None before there is one.

        What waits is taken over by whichever of these is free first, as many at once as there are now.
        """
        now = self.clock()
        active = [fold for fold in self.folds.values() if fold.active]
        paces = {fold.fold: pace for fold in active if (pace := fold.epoch_s(now)) is not None}
        if not paces:
            return None

        def pace_of(fold: FoldProgress) -> float:
            alike = [paces[other.fold] for other in active if other.fold in paces and other.run == fold.run]
            return paces.get(fold.fold) or fmean(alike or paces.values())

        free = [pace_of(fold) * max(0.0, fold.epochs - fold.done) for fold in active]
        heapify(free)
        for fold in self.folds.values():
            if fold.state == "waiting":
                heapreplace(free, free[0] + pace_of(fold) * fold.epochs)
        return max(free)

    def _run(self, event: RunStarted) -> None:
        self.runs[event.experiment] = event
        self.finished.pop(event.experiment, None)
        for name in event.folds:
            self.fold(name)
        # Folds that were complete already were told of before; the others are still waiting.
        for fold in self.of(event.experiment):
            fold.run, fold.epochs = event, event.epochs

    def _run_finished(self, event: RunFinished) -> None:
        self.finished[event.experiment] = event

    def _store(self, event: StoreProgress) -> None:
        self.stores[event.what] = event
        if event.done >= event.total:
            del self.stores[event.what]

    def _queued(self, event: FoldQueued) -> None:
        self.fold(event.fold).epochs = event.epochs

    def _fold(self, event: FoldStarted) -> None:
        fold = self.fold(event.fold)
        fold.state, fold.epoch, fold.paced_from = "training", event.resumed_epoch, None

    def _skipped(self, event: FoldSkipped) -> None:
        self.fold(event.fold).state = event.why

    def _stage(self, event: StageStarted) -> None:
        fold = self.fold(event.fold)
        fold.stage, fold.step, fold.steps = event.stage, 0, event.steps_per_epoch

    def _step(self, event: StepFinished) -> None:
        fold = self.fold(event.fold)
        fold.state, fold.epoch, fold.step, fold.steps, fold.loss = "training", event.epoch, event.step, event.steps, event.loss
        if fold.paced_from is None:
            fold.paced_from = (self.clock(), fold.done)
        # The last tick of an epoch carries no rate of its own.
        fold.samples_per_s = event.samples_per_s or fold.samples_per_s

    def _epoch(self, event: EpochFinished) -> None:
        fold = self.fold(event.fold)
        fold.epoch, fold.step, fold.epochs = event.epoch + 1, 0, event.epochs
        fold.loss, fold.samples_per_s, fold.elapsed_s = event.train_loss, event.samples_per_s, event.elapsed_s
        fold.score = headline(event.scores, fold)
        if fold.score is not None and is_better(fold.score, fold):
            fold.best, fold.best_epoch = fold.score, event.epoch
        if fold.epoch < fold.epochs:
            fold.state = "training"

    def _prediction(self, event: PredictionProgress) -> None:
        fold = self.fold(event.fold)
        fold.state = "predicting" if event.done < event.total else "training"
        fold.predicted = f"{event.what} {event.done:,}/{event.total:,}"

    def _fold_finished(self, event: FoldFinished) -> None:
        fold = self.fold(event.fold)
        fold.state, fold.elapsed_s = "done", event.elapsed_s
        score = headline(event.scores, fold)
        fold.score = fold.score if score is None else score
        fold.best_epoch = event.best_epoch


def experiment_of(fold: str) -> str:
    """`exp001` of `exp001/0`; empty where there is only one experiment."""
    return fold.rpartition("/")[0]


def headline(scores: Mapping[str, float], fold: FoldProgress) -> float | None:
    """The deciding metric's score; None where there is none or it is no number."""
    score = scores.get(fold.metric, next(iter(scores.values()), None))
    return score if score is not None and math.isfinite(score) else None


def is_better(score: float, fold: FoldProgress) -> bool:
    if fold.best is None:
        return True
    return score > fold.best if fold.run is None or fold.run.greater_is_better else score < fold.best
