"""The views of a search: on a terminal a table of trials that moves, elsewhere a line for each trial that starts or ends.

What is no event of a search (notices, images being read, the folds that confirm the best trial) is shown as a run shows it.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comp.events import (
    Event,
    RunFinished,
    RunStarted,
    SearchFinished,
    SearchStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
)
from comp.report.live import LiveView
from comp.report.plain import PlainView
from comp.report.tables import format_duration, format_score, text_width
from comp.report.trials import (
    SearchProgress,
    TrialProgress,
    count_states,
    describe_search,
    format_value,
    has_score,
    search_lines,
    short_names,
    shorten_reason,
    value_columns,
)

HEAD_LINES = 8
"""Of the terminal's height that the table leaves to its own head and what is around it."""
FEWEST_ROWS = 4
COLOURS = {"running": "cyan", "done": "green", "pruned": "dim", "failed": "red"}


class SearchPlainView(PlainView):
    """Reads events and writes lines to `stream`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.search = SearchProgress()

    def __call__(self, event: Event) -> None:
        self.search.apply(event)
        super().__call__(event)

    def describe(self, event: Event) -> list[str]:
        match event:
            case SearchStarted():
                return describe_search(event)
            case TrialStarted():
                resumed = f"  goes on after epoch {event.resumed_epoch}" if event.resumed_epoch else ""
                return [f"{event.trial}  starts{resumed}  {write_values(event.values)}".rstrip()]
            case TrialReported() | RunStarted() | RunFinished():
                return []
            case TrialFinished():
                return [self.describe_trial(event)]
            case SearchFinished():
                return search_lines(self.search)
        return super().describe(event)

    def describe_trial(self, event: TrialFinished) -> str:
        best = self.search.best()
        parts = [f"{event.trial}  {event.state}"]
        if has_score(event.score):
            parts.append(f"{self.search.metric} {format_score(event.score)}")
        parts += [f"{event.epochs} epoch{'s' * (event.epochs != 1)}", format_duration(event.elapsed_s)]
        if event.why:
            parts.append(shorten_reason(event.why))
        parts.append(f"({len(self.search.ended())} of {self.search.total}")
        return "  ".join(parts) + (f", best {best.trial} {format_score(best.score)})" if best else ")")


class SearchLiveView(LiveView):
    """Reads events and keeps the table of trials at the foot of the terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.search = SearchProgress()

    def __call__(self, event: Event) -> None:
        self.search.apply(event)
        super().__call__(event)

    def tell(self, event: Event) -> None:
        if isinstance(event, SearchStarted):
            head, *lines = describe_search(event)
            self.console.print(Text(head, style="bold"))
            for line in lines:
                self.console.print(Text(line, style="dim"))
        elif isinstance(event, SearchFinished):
            self.stop()
            for line in search_lines(self.search, self.console.width):
                self.console.print(Text(line, style="bold green" if line.startswith("best ") else ""), soft_wrap=True)
        elif isinstance(event, TrialFinished) and event.state == "failed":
            self.console.print(Text(f"{event.trial} failed: {shorten_reason(event.why)}", style="yellow"))
        elif not isinstance(event, (RunStarted, RunFinished)):  # of the run that confirms, which is a part of the search
            super().tell(event)

    def render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.search.trials:
            parts += [self.render_trials(), self.render_foot()]
        if self.progress.unfinished or self.progress.stores:
            parts.append(super().render())
        return Group(*parts)

    def render_trials(self) -> Table:
        """Running trials first, then the best of the others, as many as there are lines for."""
        folds = len(self.progress.shown) + 2 if self.progress.unfinished else 0
        shown = choose_rows(self.search, self.console.height - folds)
        best = self.search.best()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trial", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for name in ("epoch", self.search.metric):
            table.add_column(name, justify="right", no_wrap=True)
        cells = value_columns(shown, self.console.width - 26 - max(6, text_width(self.search.metric)))
        for name in cells:
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        for number, trial in enumerate(shown):
            row = render_trial(trial, self.search, trial is best)
            table.add_row(*row, *(Text(column[number], style="dim" * (trial.state == "pruned")) for column in cells.values()))
        return table

    def render_foot(self) -> Table:
        search = self.search
        best, left = search.best(), search.left_s()
        parts = [f"{len(search.ended())}/{search.total}"]
        parts += [f"best {best.trial} {format_score(best.score)}"] if best else []
        parts += [f"about {format_duration(left)} left"] if left is not None else []
        parts.append(count_states(search.trials.values()).partition(": ")[2])
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=16)
        table.add_column(overflow="ellipsis", no_wrap=True)
        table.add_row(ProgressBar(total=max(1, search.total), completed=len(search.ended()), width=16), "  ".join(parts))
        return table


def choose_rows(search: SearchProgress, height: int) -> list[TrialProgress]:
    most = max(FEWEST_ROWS, height - HEAD_LINES)
    running = [trial for trial in search.trials.values() if trial.state == "running"]
    others = [trial for trial in search.ranked() if trial.state != "running"]
    return [*running[: most - 1], *others][:most]


def render_trial(trial: TrialProgress, search: SearchProgress, best: bool) -> list[Text]:
    epochs = f"{trial.epoch}/{search.started.epochs}" if search.started else str(trial.epoch)
    score = format_score(trial.score) if has_score(trial.score) else ""
    return [
        Text(f"{trial.trial}{' ★' if best else ''}", style="bold green" if best else ""),
        Text(trial.state, style=COLOURS.get(trial.state, "")),
        Text(epochs, style="dim"),
        Text(score, style="bold green" if best else "dim" * (trial.state == "pruned")),
    ]


def write_values(values: dict[str, object]) -> str:
    names = short_names(values)
    return "  ".join(f"{names[key]} {format_value(value)}" for key, value in values.items())
