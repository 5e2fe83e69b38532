"""Events: what the engine says while it works. Every view, log, report and tracker is a reader of this one stream.

An event is a frozen dataclass of plain data. `to_record` makes a JSON-ready mapping of it (with `event`, its class name, and
`time`, seconds since the epoch), `EventLog` appends such records to a run's events.jsonl, `read_events` reads them back.
Ticks are for live views only and are never stored.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from comp.formats import parse_record
from comp.project import append_line

FORMAT = 1


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class Tick(Event):
    """Progress, many times a second; not stored."""


Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Notice(Event):
    """A thing the user should know. `level`: info | warning."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class StoreProgress(Tick):
    """Images being read into the store. `what`: train | test."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class RunStarted(Event):
    """`folds`: what this process intends to train (`"0"`, ..., `"full"`); `epochs`: per fold, over all stages."""

    experiment: str
    digest: str
    run_folder: str
    folds: list[str]
    epochs: int
    train_rows: int
    test_rows: int
    device: str
    precision: str
    metric: str
    greater_is_better: bool
    about: str = ""


@dataclass(frozen=True)
class FoldQueued(Event):
    """A fold that waits for its turn, told before its run has started; `epochs` as in RunStarted."""

    fold: str
    epochs: int


@dataclass(frozen=True)
class FoldStarted(Event):
    fold: str
    train_rows: int
    held_out_rows: int
    resumed_epoch: int = 0


@dataclass(frozen=True)
class FoldSkipped(Event):
    """`why`: complete | in another process."""

    fold: str
    why: str


@dataclass(frozen=True)
class StageStarted(Event):
    fold: str
    stage: str
    epochs: int
    steps_per_epoch: int


@dataclass(frozen=True)
class StepFinished(Tick):
    """`step` counts from 1 within the epoch; `epoch` from 0 over the whole fold."""

    fold: str
    stage: str
    epoch: int
    step: int
    steps: int
    loss: float
    samples_per_s: float


@dataclass(frozen=True)
class EpochFinished(Event):
    """`epoch` counts from 0 over the whole fold; `scores`: metric -> held-out score; `parts`: target -> training loss; `skipped`:
    updates that were left out (train.on_nan: skip)."""

    fold: str
    stage: str
    epoch: int
    epochs: int
    train_loss: float
    held_out_loss: float | None
    scores: dict[str, float]
    lr: float
    elapsed_s: float
    samples_per_s: float
    best: bool
    parts: dict[str, float] = field(default_factory=dict)
    skipped: int = 0


PROFILE_PARTS = (
    "data", "copy", "augment", "forward", "backward", "exchange", "optimizer", "validation", "prediction", "checkpoint", "rest",
)  # fmt: skip
"""What a fold's time is divided into: waiting for batches, bringing them to the device, augmenting them there, the passes through
the network, gradients from the other devices, updates, held-out rows after each epoch, all other predictions, what is saved."""


@dataclass(frozen=True)
class EpochProfiled(Event):
    """Where time went, with --profile. `span`: start (until a stage's first epoch), epoch (that one), end (after the last one);
    `parts`: part -> seconds, which add up to `wall_s`; `device`: cuda | mps | cpu; `workers`: loader processes; `steps`: batches.
    """

    fold: str
    stage: str
    span: str
    epoch: int
    wall_s: float
    parts: dict[str, float]
    device: str
    workers: int
    steps: int


@dataclass(frozen=True)
class PredictionProgress(Tick):
    """`what`: held-out | test | features (of all images, for a frozen backbone)."""

    fold: str
    what: str
    done: int
    total: int


@dataclass(frozen=True)
class FoldFinished(Event):
    fold: str
    scores: dict[str, float]
    best_epoch: int
    elapsed_s: float


@dataclass(frozen=True)
class RunFinished(Event):
    """`complete`: every fold of the run is done; `scores` is what scores.json holds."""

    complete: bool
    scores: dict[str, Any]
    elapsed_s: float
    experiment: str


@dataclass(frozen=True)
class SearchStarted(Event):
    """`fixed`, `varied`, `measured`: what a search holds fixed, varies and measures, a line each; `trials`: in all, with those
    that are there from before; `folds`: that each trial trains; `epochs`: the most that a trial may train, over its folds."""

    experiment: str
    digest: str
    folder: str
    trials: int
    folds: list[str]
    epochs: int
    metric: str
    greater_is_better: bool
    fixed: str
    varied: str
    measured: str
    about: str = ""


@dataclass(frozen=True)
class TrialStarted(Event):
    """`trial`: t0001, t0002, ...; `values`: what it varies, dotted key -> value; `digest`: of its run."""

    trial: str
    values: dict[str, Any]
    digest: str
    resumed_epoch: int = 0


@dataclass(frozen=True)
class TrialReported(Tick):
    """After each epoch. `epoch`: how many it has trained, over its folds; `score`: the mean over its folds so far."""

    trial: str
    epoch: int
    score: float


@dataclass(frozen=True)
class TrialFinished(Event):
    """`state`: done | pruned | failed (`why` says what of); `score`: None where it has none."""

    trial: str
    state: str
    score: float | None
    epochs: int
    elapsed_s: float
    why: str = ""


@dataclass(frozen=True)
class SearchFinished(Event):
    """`complete`: all trials have ended; `best`: "" where no trial has a score; `confirmed`: the best one's score on folds that
    did not choose it, where it was asked for."""

    complete: bool
    best: str
    score: float | None
    confirmed: float | None
    elapsed_s: float


@dataclass(frozen=True)
class RunStopped(Event):
    """The run ended before its end, saved. `why` is the message the user saw."""

    why: str


def to_record(event: Event) -> dict[str, Any]:
    """Plain JSON data; NaN and infinities become None."""
    record = {"event": type(event).__name__, "time": time.time(), **asdict(event)}
    return _finite(record)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_record(record: Mapping[str, Any]) -> Event:
    """The event that `to_record` made this of, perhaps in another process; what was no number is None."""
    kinds = {kind.__name__: kind for kind in (*Event.__subclasses__(), *Tick.__subclasses__())}
    return kinds[record["event"]](**{name: value for name, value in record.items() if name not in ("event", "time")})


class EventLog:
    """Appends events to a file, whole lines under a lock, so that two processes may write to one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: Event) -> None:
        if isinstance(event, Tick):
            return
        append_line(self.path, json.dumps({"format": FORMAT, **to_record(event)}, ensure_ascii=False))


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The records of an events.jsonl; a torn last line is left out. Raises: FormatError: a newer comp wrote it."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield parse_record(path, line, FORMAT)
