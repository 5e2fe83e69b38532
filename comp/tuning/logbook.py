"""Logbook: what becomes of a search's trials while it runs, written down and told as events. It knows nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comp.errors import CompError, WorkspaceError
from comp.events import Emit, Notice, TrialFinished, TrialReported, TrialStarted
from comp.search import Drawn
from comp.stopping import Stop
from comp.trials import Search, State, TrialRecord, claim_trial, write_trial

MOST_FAILURES = 10
"""So many trials that fail one after another end a search: the fault is not theirs."""

LONGEST_STOP_S = 30.0
"""What running trials are given to save and end in."""

Describe = Callable[[Drawn], tuple[dict[str, Any], str]]
"""What was drawn -> (the values that a trial varies, the digest of its run, "" where it has none).

Raises WorkspaceError where the search cannot go on.
"""


@dataclass
class Logbook:
    """The trials that run, and how far the search is.

    Attributes:
        stop: whether somebody asked for the end.
        stop_file: made when trials are to save and end.
        begun: trials of an earlier call that did not end.
        running: a key of the caller's -> the trial as it stands.
        before_s: the same key -> how long it trained in earlier calls.
        failures: reasons of the last trials, as long as they failed one after another.
        broken: why the search cannot go on; "" while it can.
        bug: what made it so, where that is an error of comp's own.
        asked_at: when the end was first seen to be asked for; 0: not yet.
        warned: what trials have warned of; each says the same.
    """

    search: Search
    describe: Describe
    emit: Emit
    stop: Stop
    stop_file: Path
    begun: list[TrialRecord] = field(default_factory=list)
    running: dict[str, TrialRecord] = field(default_factory=dict)
    before_s: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    broken: str = ""
    bug: Exception | None = None
    asked_at: float = 0.0
    warned: set[str] = field(default_factory=set)

    @property
    def ending(self) -> bool:
        return bool(self.stop() or self.broken)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """For hooks whose caller passes over what they raise: it is kept, and the search ends."""
        try:
            yield
        except (CompError, OSError) as error:
            self.broken = self.broken or str(error)
        except Exception as error:
            self.bug = self.bug or error
            self.broken = self.broken or f"{type(error).__name__}: {error}"

    def is_over(self) -> bool:
        """Whether nothing more is to be waited for: trials that were told to end have, or have had long enough."""
        if not self.ending:
            return False
        if not self.asked_at:
            self.asked_at = time.monotonic()
            self.stop_file.touch()
        return not self.running or time.monotonic() - self.asked_at > LONGEST_STOP_S

    def start(self, key: str, drawn: Drawn) -> None:
        """A trial has begun. Nothing is noted of one that begins while the search ends: it ends at once."""
        if self.ending:
            return
        try:
            values, digest = self.describe(drawn)
        except WorkspaceError as error:
            self.broken = str(error)
            return
        before = next((record for record in self.begun if record.drawn == drawn), None)
        if before:
            self.begun.remove(before)
        record = replace(before, digest=digest) if before else claim_trial(self.search, drawn, values, digest)
        self.running[key], self.before_s[key] = record, record.elapsed_s
        self.emit(TrialStarted(record.trial, values, digest, record.epochs))

    def report(self, key: str, epochs: int, score: float, elapsed_s: float) -> None:
        record = self.running.get(key)
        if record is None:
            return
        kept = [point for point in record.curve if point[0] < epochs]  # a resumed fold goes over an epoch again
        elapsed_s = round(self.before_s[key] + elapsed_s, 3)
        curve = [*kept, (epochs, score)]
        self.running[key] = replace(record, curve=curve, score=score, epochs=epochs, elapsed_s=elapsed_s)
        self.emit(TrialReported(record.trial, epochs, score))

    def warn(self, texts: Sequence[str]) -> None:
        """What trials have warned of is told once, whichever of them said it."""
        for text in texts:
            if text not in self.warned:
                self.warned.add(text)
                self.emit(Notice(text, "warning"))

    def end(self, key: str, state: State, per_fold: Mapping[str, float] | None = None, why: str = "") -> None:
        record = self.running.pop(key, None)
        if record is None:
            if state == "failed" and not self.ending:  # before it began: its process cannot be started
                self.note_failure(why)
            return
        record = replace(record, state=state, per_fold=dict(per_fold or record.per_fold), why=why)
        write_trial(self.search.folder, record)
        self.emit(TrialFinished(record.trial, state, record.score, record.epochs, record.elapsed_s, why))
        if state == "failed":
            self.note_failure(why)
        else:
            self.failures = []

    def note_failure(self, why: str) -> None:
        self.failures.append(why)
        if len(self.failures) >= MOST_FAILURES:
            self.broken = f"{MOST_FAILURES} trials failed one after another, the last because: {why}"

    def interrupt(self, key: str) -> None:
        """A trial has saved and ended because it was told to: it stays one that runs."""
        if record := self.running.pop(key, None):
            write_trial(self.search.folder, record)

    def close(self) -> None:
        """Whatever still runs was interrupted."""
        with self.guard():
            for key in list(self.running):
                self.interrupt(key)


def tell_earlier(records: Sequence[TrialRecord], emit: Emit) -> None:
    """What earlier calls have found, as if it happened now."""
    for record in records:
        emit(TrialStarted(record.trial, record.values, record.digest))
        emit(TrialFinished(record.trial, record.state, record.score, record.epochs, record.elapsed_s, record.why))
