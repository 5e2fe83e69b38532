"""How far a search is: the state that its views show, kept from events; and how values are written. Prints nothing."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comp.events import Event, SearchFinished, SearchStarted, TrialFinished, TrialReported, TrialStarted
from comp.report.tables import format_duration, format_score, format_table, text_width

SHOWN_AT_THE_END = 10
LONGEST_REASON = 90
WIDEST_VALUE = 28


@dataclass
class TrialProgress:
    """One trial.

    Attributes:
        state: running | done | pruned | failed.
        epoch: epochs trained, over its folds; `began_at` of them before this process.
    """

    trial: str
    values: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    epoch: int = 0
    began_at: int = 0
    score: float | None = None
    elapsed_s: float = 0.0
    why: str = ""


@dataclass
class SearchProgress:
    """The whole search, as far as it was told. Call `apply` with each event, in order.

    Trials that were recorded by an earlier call are told as started and finished, too.
    """

    clock: Callable[[], float] = time.monotonic
    started: SearchStarted | None = None
    finished: SearchFinished | None = None
    trials: dict[str, TrialProgress] = field(default_factory=dict)
    _paced_from: tuple[float, int] | None = None

    def apply(self, event: Event) -> None:
        match event:
            case SearchStarted():
                self.started, self.finished = event, None
            case TrialStarted():
                at = event.resumed_epoch
                self.trials[event.trial] = TrialProgress(event.trial, event.values, epoch=at, began_at=at)
            case TrialReported():
                trial = self._trial(event.trial)
                trial.epoch, trial.score = event.epoch, event.score
                self._paced_from = self._paced_from or (self.clock(), self._trained())
            case TrialFinished():
                trial = self._trial(event.trial)
                trial.state, trial.score, trial.why, trial.elapsed_s = event.state, event.score, event.why, event.elapsed_s
                # What was recorded before has cost this process nothing.
                trial.began_at = trial.began_at if trial.epoch > trial.began_at else event.epochs
                trial.epoch = event.epochs
            case SearchFinished():
                self.finished = event

    def _trial(self, name: str) -> TrialProgress:
        return self.trials.setdefault(name, TrialProgress(name))

    @property
    def metric(self) -> str:
        return self.started.metric if self.started else "score"

    @property
    def greater_is_better(self) -> bool:
        return self.started is None or self.started.greater_is_better

    @property
    def total(self) -> int:
        return max(self.started.trials if self.started else 0, len(self.trials))

    def ended(self) -> list[TrialProgress]:
        return [trial for trial in self.trials.values() if trial.state != "running"]

    def best(self) -> TrialProgress | None:
        """The best one that was trained to its end."""
        return next((trial for trial in self.ranked() if trial.state == "done" and has_score(trial.score)), None)

    def ranked(self) -> list[TrialProgress]:
        """Those that were trained to their end, then the others; best first, among equals the earlier, without a score last."""
        sign = -1 if self.greater_is_better else 1

        def place(trial: TrialProgress) -> tuple[bool, float, str]:
            return trial.state != "done", sign * trial.score if has_score(trial.score) else math.inf, trial.trial

        return sorted(self.trials.values(), key=place)

    def left_s(self) -> float | None:
        """Seconds until the last trial has ended, at the pace so far and where the others are as long as those that ended; None
        before there is a pace."""
        if self._paced_from is None or self.started is None or self.finished:
            return None
        since, before = self._paced_from
        trained = self._trained() - before
        if trained < 1:
            return None
        lengths = [trial.epoch for trial in self.ended()]
        usual = sum(lengths) / len(lengths) if lengths else self.started.epochs
        open_ones = [max(0.0, usual - trial.epoch) for trial in self.trials.values() if trial.state == "running"]
        epochs = sum(open_ones) + usual * (self.total - len(self.trials))
        return (self.clock() - since) / trained * epochs

    def _trained(self) -> int:
        """Epochs that this process has seen trained, over all trials."""
        return sum(trial.epoch - trial.began_at for trial in self.trials.values())


def has_score(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


# ---- in words ------------------------------------------------------------------------------------------------------------


def describe_search(event: SearchStarted) -> list[str]:
    """The head of a search: what it is, and what it holds fixed, varies and measures, a line each."""
    head = f"{event.experiment}  search {event.digest}  {event.metric}  {event.trials} trials on {name_folds(event.folds)}"
    three = [f"fixed     {event.fixed}", f"varied    {event.varied}", f"measured  {event.measured}"]
    return [head, *([event.about] if event.about else []), *three]


def name_folds(folds: Sequence[str]) -> str:
    return ("fold " if len(folds) == 1 else "folds ") + ", ".join(folds)


def search_lines(progress: SearchProgress, width: int | None = None) -> list[str]:
    """How a search ends: its best trials, why others failed, and both scores of the best.

    Args:
        width: of the terminal, in which only as many values are shown as have room; None: all.
    """
    assert progress.finished is not None
    ranked = [trial for trial in progress.ranked() if trial.state != "failed"][:SHOWN_AT_THE_END]
    header = ["trial", "state", "trained", progress.metric, "time"]
    rows = [
        [trial.trial, trial.state, str(trial.epoch), format_score(trial.score), format_duration(trial.elapsed_s)]
        for trial in ranked
    ]
    taken = sum(max(map(text_width, column)) + 2 for column in zip(header, *rows, strict=True))
    columns = value_columns(ranked, None if width is None else width - taken)
    rows = [[*row, *cells] for row, *cells in zip(rows, *columns.values(), strict=True)]
    table = format_table([*header, *columns], rows, right=(2, 3, 4)) if rows else []
    return [*table, *failure_lines(progress.trials.values()), "", *best_lines(progress), ending_line(progress)]


def value_columns(trials: Sequence[TrialProgress], width: int | None = None) -> dict[str, list[str]]:
    """Short name of a key -> its cells, two spaces apart, of as many keys as the width has room for; None: of all, in full."""
    columns: dict[str, list[str]] = {}
    left = math.inf if width is None else width
    for key, name in short_names(key for trial in trials for key in trial.values).items():
        cells = [format_value(trial.values[key]) if key in trial.values else "" for trial in trials]
        cells = cells if width is None else [crop(cell) for cell in cells]
        left -= max(map(text_width, [name, *cells])) + 2
        if left < -2:
            break
        columns[name] = cells
    return columns


def crop(text: str) -> str:
    return text if len(text) <= WIDEST_VALUE else f"{text[: WIDEST_VALUE - 1]}…"


def best_lines(progress: SearchProgress) -> list[str]:
    """The best with its score on the folds that chose it, and on others where it was confirmed."""
    finished, started = progress.finished, progress.started
    assert finished is not None
    if not finished.best or not started:
        return ["no trial has a score"]
    score = f"{started.metric} {format_score(finished.score)}"
    lines = [f"best {finished.best}  {score} on {name_folds(started.folds)}, which chose it: optimistic"]
    if finished.confirmed is not None:
        lines.append(f"confirmed  {started.metric} {format_score(finished.confirmed)} on folds that had no part in the choice")
    return lines


def failure_lines(trials: Iterable[TrialProgress]) -> list[str]:
    """`2 failed: not enough memory` for each reason, the most frequent first."""
    reasons = Counter(trial.why for trial in trials if trial.state == "failed")
    return [f"{count} failed: {shorten_reason(why)}" for why, count in reasons.most_common()]


def shorten_reason(why: str) -> str:
    first = why.strip().split("\n")[0] or "no reason was given"
    return first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 1]}…"


def ending_line(progress: SearchProgress) -> str:
    """`50 trials: 18 done, 31 pruned, 1 failed  complete  1:02:03`."""
    assert progress.finished is not None
    how = "complete" if progress.finished.complete else "not complete yet"
    return f"{count_states(progress.trials.values())}  {how}  {format_duration(progress.finished.elapsed_s)}"


def count_states(trials: Iterable[TrialProgress]) -> str:
    counts = Counter(trial.state for trial in trials)
    each = [f"{counts[state]} {state}" for state in ("done", "pruned", "failed", "running") if counts[state]]
    return f"{sum(counts.values())} trials" + (f": {', '.join(each)}" if each else "")


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Dotted key -> as few of its last parts as tell it from the others, in the order of the keys."""
    unique = list(dict.fromkeys(keys))

    def shorten(key: str) -> str:
        parts = key.split(".")
        tails = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        return next((tail for tail in tails if sum(f".{other}".endswith(f".{tail}") for other in unique) == 1), key)

    return {key: shorten(key) for key in unique}


def format_value(value: Any) -> str:
    """A manifest's value in a cell: 0.000312, focal gamma=1.37, [8, 16], null."""
    if isinstance(value, Mapping):
        named = [f"{key}={format_value(item)}" for key, item in value.items() if key != "use"]
        return " ".join([*([str(value["use"])] if "use" in value else []), *named])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(format_value, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
