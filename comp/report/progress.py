"""How far a run is: the state that the live view and the plain lines show, kept from events. Prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from comp.events import (
    EpochFinished,
    Event,
    FoldFinished,
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
        state: waiting | training | predicting | done | or why it was skipped.
        epoch: finished epochs; `step` of `steps` in the one that runs.
        best_epoch: counts from 0; -1 while there is no score.
        paced_from: (time, epochs done) at the first step that was told; the pace is measured from there, because a fold's
            first step also pays for what is imported and built.
    """

    fold: str
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
    """The whole run, as far as this process has seen it. Call `apply` with each event, in order."""

    clock: Callable[[], float] = time.monotonic
    started: RunStarted | None = None
    finished: RunFinished | None = None
    folds: dict[str, FoldProgress] = field(default_factory=dict)
    store: StoreProgress | None = None

    def __post_init__(self) -> None:
        self._handlers: dict[type, Callable] = {
            StepFinished: self._step,
            EpochFinished: self._epoch,
            PredictionProgress: self._prediction,
            StoreProgress: self._store,
            StageStarted: self._stage,
            RunStarted: self._run,
            RunFinished: self._run_finished,
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
            self.folds[name] = FoldProgress(name, epochs=self.started.epochs if self.started else 0)
        return self.folds[name]

    def left_s(self) -> float | None:
        """Seconds until the last fold is trained, from the pace of the fold that trains; None before there is one."""
        now = self.clock()
        active = next((fold for fold in self.folds.values() if fold.state in ("training", "predicting")), None)
        pace = active.epoch_s(now) if active else None
        if active is None or pace is None:
            return None
        waiting = sum(fold.epochs for fold in self.folds.values() if fold.state == "waiting")
        return pace * (waiting + max(0.0, active.epochs - active.done))

    def _run(self, event: RunStarted) -> None:
        self.started, self.finished = event, None
        # Folds that were complete already were told of before; the others are still waiting.
        self.folds = {**self.folds, **{name: self.folds.get(name) or FoldProgress(name) for name in event.folds}}
        for fold in self.folds.values():
            fold.epochs = event.epochs

    def _run_finished(self, event: RunFinished) -> None:
        self.finished = event

    def _store(self, event: StoreProgress) -> None:
        self.store = event if event.done < event.total else None

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
        fold.score = self.headline(event.scores)
        if fold.score is not None and self._is_better(fold.score, fold.best):
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
        score = self.headline(event.scores)
        fold.score = fold.score if score is None else score
        fold.best_epoch = event.best_epoch

    def headline(self, scores: dict[str, float]) -> float | None:
        """The deciding metric's score; None where there is none or it is no number."""
        metric = self.started.metric if self.started else ""
        score = scores.get(metric, next(iter(scores.values()), None))
        return score if score is not None and math.isfinite(score) else None

    def _is_better(self, score: float, best: float | None) -> bool:
        if best is None:
            return True
        return score > best if self.started is None or self.started.greater_is_better else score < best
