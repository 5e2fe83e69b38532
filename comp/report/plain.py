"""Plain lines of a run for where there is no terminal: a line per epoch and notice, each flushed."""

from __future__ import annotations

import time
from dataclasses import asdict
from types import TracebackType
from typing import TextIO

from comp.events import (
    EpochFinished,
    Event,
    FoldFinished,
    FoldSkipped,
    FoldStarted,
    Notice,
    PredictionProgress,
    RunFinished,
    RunStarted,
    StepFinished,
    StoreProgress,
)
from comp.report.profile import profile_lines
from comp.report.progress import FoldProgress, RunProgress, experiment_of, headline
from comp.report.streams import let_go
from comp.report.tables import format_duration, format_score, format_table, full_headline, member_lines, raw_lines

STORE_LINE_EVERY_S = 5.0


class PlainView:
    """Reads events and writes lines to `stream`. A run outlives its reader: when the stream breaks, the view goes quiet."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.progress = RunProgress()
        self._broken = False
        self._store_line_at = 0.0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self.progress.apply(event)
        if isinstance(event, (StepFinished, PredictionProgress)):
            return
        for line in self.describe(event):
            self.write(line)

    def write(self, line: str) -> None:
        if self._broken:
            return
        try:
            print(line, file=self.stream, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "replace").decode(), file=self.stream, flush=True)
        except OSError:
            # The terminal or pipe that started the run is gone; events.jsonl and the report still hold everything.
            self._broken = True
            let_go(self.stream)

    def describe(self, event: Event) -> list[str]:
        match event:
            case Notice():
                return [f"{event.level}: {event.text}" if event.level != "info" else event.text]
            case StoreProgress():
                return self.describe_store(event)
            case RunStarted():
                return describe_run(event)
            case FoldSkipped():
                return [f"fold {event.fold}  {event.why}"]
            case FoldStarted():
                resumed = f", resumed after epoch {event.resumed_epoch}" if event.resumed_epoch else ""
                return [f"fold {event.fold}  {event.train_rows:,} rows train, {event.held_out_rows:,} held out{resumed}"]
            case EpochFinished():
                return [self.describe_epoch(event)]
            case FoldFinished():
                fold = self.progress.fold(event.fold)
                score = headline(event.scores, fold)
                shown = "" if score is None else f"  {fold.metric} {format_score(score)}"
                return [f"fold {event.fold}  done{shown}  {format_duration(event.elapsed_s)}"]
            case RunFinished():
                return run_lines(self.progress, event)
        return []

    def describe_store(self, event: StoreProgress) -> list[str]:
        now = time.monotonic()
        if event.done < event.total and now - self._store_line_at < STORE_LINE_EVERY_S:
            return []
        self._store_line_at = now
        return [f"reading {event.what} images  {event.done:,}/{event.total:,}"]

    def describe_epoch(self, event: EpochFinished) -> str:
        fold = self.progress.fold(event.fold)
        parts = [f"fold {event.fold}", f"epoch {event.epoch + 1}/{event.epochs}", f"loss {event.train_loss:.4g}"]
        if event.stage != "train":
            parts.insert(1, f"stage {event.stage}")
        if fold.score is not None:
            parts.append(f"{fold.metric} {format_score(fold.score)} (best {format_score(fold.best)})")
        if event.skipped:
            parts.append(f"{event.skipped} updates left out")
        return "  ".join([*parts, f"{event.samples_per_s:,.0f} img/s", format_duration(event.elapsed_s)])


def describe_run(event: RunStarted) -> list[str]:
    """The head of a run: what it is, on what it runs, how much there is."""
    rows = f"{event.train_rows:,} train" + (f" and {event.test_rows:,} test rows" if event.test_rows else " rows, no test rows")
    head = f"{event.experiment}  {event.digest}  {event.metric}  {event.device} {event.precision}  {rows}"
    return [head, event.about] if event.about else [head]


def run_lines(progress: RunProgress, finished: RunFinished) -> list[str]:
    """How a finished run ends: a line per fold, the pooled score, and whether it is whole; of several its name first."""
    scores = finished.scores
    folds = {fold.fold.rpartition("/")[2]: fold for fold in progress.of(finished.experiment)}
    metric = next((fold.metric for fold in folds.values() if fold.run), scores.get("metric", "score"))
    per_fold = scores.get("per_fold") or {}
    rows = []
    for name in sorted({*folds, *per_fold}, key=lambda fold: (not fold.isdigit(), int(fold) if fold.isdigit() else 0)):
        fold = folds.get(name) or FoldProgress(name, state="complete")
        trained_here = fold.state == "done"
        rows.append(
            [
                name,
                format_score(per_fold.get(name, fold.score)),
                format_score(fold.best),
                str(fold.epoch) if trained_here else "",
                str(fold.best_epoch + 1) if trained_here and fold.best_epoch >= 0 else "",
                describe_end(fold),
            ]
        )
    lines = format_table(["fold", metric, "best", "epochs", "best epoch", "time"], rows, right=(1, 2, 3, 4, 5)) if rows else []
    if scores.get("metric"):
        lines += ["", full_headline(scores), *raw_lines(scores), *member_lines(scores)]
    idle = folds and all(fold.state == "complete" for fold in folds.values())
    ending = "complete already; nothing was trained" if idle else "complete" if finished.complete else "not complete yet"
    named = any("/" in fold.fold for fold in folds.values())
    profiled = [asdict(event) for event in progress.profiled if experiment_of(event.fold) in ("", finished.experiment)]
    last = f"{ending}  {format_duration(finished.elapsed_s)}"
    return [*(["", finished.experiment] if named else []), *lines, *profile_lines(profiled), last]


def describe_end(fold: FoldProgress) -> str:
    """How long it took, or what it is instead of done."""
    if fold.state == "done":
        return format_duration(fold.elapsed_s)
    return "from before" if fold.state == "complete" else "not done" if fold.active else fold.state
