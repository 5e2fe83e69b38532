"""The live view of a run on a terminal: a row per fold, the image store's bar, notices above, a table at the end."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from comp.events import Event, Notice, RunFinished, RunStarted, Tick
from comp.report.plain import describe_run, run_lines
from comp.report.progress import FoldProgress, RunProgress
from comp.report.streams import let_go
from comp.report.tables import format_duration, format_score

REFRESH_S = 0.125
DRAWING_SHARE = 0.01
"""At most eight frames a second, and fewer where drawing one would take more than this share of the process's time."""


class LiveView:
    """Reads events and keeps a block at the foot of the terminal. Draws in the caller's thread, between events."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = RunProgress()
        self._live: Live | None = None
        self._due = 0.0
        self._broken = False

    def __enter__(self) -> LiveView:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        # transient: what stays on the terminal is the head, the notices and the final table, not a last frame.
        self._live = Live(console=self.console, auto_refresh=False, transient=True, get_renderable=self.render)
        self._live.start()

    def stop(self) -> None:
        """Take the block away and give the cursor back; safe to call twice."""
        live, self._live = self._live, None
        try:
            if live and not self._broken:
                live.stop()
        except OSError:
            self.give_up()

    def __call__(self, event: Event) -> None:
        self.progress.apply(event)
        told = not isinstance(event, Tick)
        if self._broken or not (told or time.perf_counter() >= self._due):
            return
        try:
            if told:
                self.tell(event)
            self.draw()
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """The terminal is gone (a dropped connection); the run saves itself and must not be stopped by its view."""
        self._broken = True
        let_go(self.console.file)

    def tell(self, event: Event) -> None:
        """What stays above the block."""
        if isinstance(event, Notice):
            self.console.print(Text(event.text, style="yellow" if event.level == "warning" else "dim"))
        elif isinstance(event, RunStarted):
            head, *about = describe_run(event)
            self.console.print(Text(head, style="bold"))
            for line in about:
                self.console.print(Text(line, style="italic dim"))
        elif isinstance(event, RunFinished):
            if not self.progress.unfinished:
                self.stop()
            for line in run_lines(self.progress, event):
                style = "bold green" if line.startswith("OOF ") else "bold" if line == event.experiment else ""
                self.console.print(Text(line, style=style), soft_wrap=True)

    def draw(self) -> None:
        started = time.perf_counter()
        if not self._live and self.progress.unfinished:
            self.start()  # the next of several experiments
        if self._live:
            self._live.refresh()
        ended = time.perf_counter()
        self._due = ended + max(REFRESH_S, (ended - started) / DRAWING_SHARE)

    def render(self) -> RenderableType:
        parts: list[RenderableType] = []
        progress = self.progress
        if progress.folds:
            parts.append(self.render_folds())
        for store in progress.stores.values():
            parts.append(bar_line(f"reading {store.what} images", store.done, store.total))
        left = progress.left_s()
        if left is not None:
            parts.append(Text(f"about {format_duration(left)} left for all folds", style="dim"))
        return Group(*parts)

    def render_folds(self) -> Table:
        progress = self.progress
        folds = progress.shown
        metrics = {fold.metric for fold in folds}
        metric = metrics.pop() if len(metrics) == 1 else "score"
        several_stages = any(fold.stage not in ("", "train") for fold in folds)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("fold", no_wrap=True)
        table.add_column("state", no_wrap=True)
        if several_stages:
            table.add_column("stage", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("", min_width=8, max_width=24)
        for name in ("loss", "img/s", "left", metric, "best"):
            table.add_column(name, justify="right", no_wrap=True)
        now = progress.clock()
        for fold in folds:
            cells = render_fold(fold, now)
            if several_stages:
                cells.insert(2, fold.stage)
            table.add_row(*cells, style="dim" if fold.state not in ("training", "predicting", "done") else "")
        return table


def render_fold(fold: FoldProgress, now: float) -> list[RenderableType]:
    active = fold.active
    done = fold.epochs if fold.state == "done" else fold.done
    state = {"predicting": fold.predicted, "done": f"done in {format_duration(fold.elapsed_s)}"}.get(fold.state, fold.state)
    running = min(fold.epoch + 1, fold.epochs) if active else fold.epoch
    bar = ProgressBar(total=max(1, fold.epochs), completed=done, width=None, finished_style="green")
    return [
        fold.fold,
        Text(state, style="green" if fold.state == "done" else "cyan" if active else "dim"),
        f"{running}/{fold.epochs}" if active or fold.state == "done" else "",
        bar if active or fold.state == "done" else "",
        f"{fold.loss:.4g}" if fold.loss is not None else "",
        f"{fold.samples_per_s:,.0f}" if active and fold.samples_per_s else "",
        format_duration(fold.left_s(now)) if fold.state == "training" else "",
        format_score(fold.score) if fold.score is not None else "",
        Text(format_score(fold.best), style="bold") if fold.best is not None else "",
    ]


def bar_line(text: str, done: int, total: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(text, ProgressBar(total=max(1, total), completed=done, width=32), f"{done:,}/{total:,}")
    return table
