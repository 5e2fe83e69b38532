"""Reports: readers of the event stream that people look at (live view, plain lines, HTML) and the tables of the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from comp.report.live import LiveView
    from comp.report.plain import PlainView
    from comp.report.search import SearchLiveView, SearchPlainView


def choose_view(stream: TextIO) -> LiveView | PlainView:
    """The view of a run that fits the stream: live on a terminal, plain lines elsewhere (a file, a pipe, CI, a notebook)."""
    from comp.report.live import LiveView
    from comp.report.plain import PlainView

    console = find_terminal(stream)
    return LiveView(console) if console else PlainView(stream)


def choose_search_view(stream: TextIO) -> SearchLiveView | SearchPlainView:
    """The view of a search that fits the stream."""
    from comp.report.search import SearchLiveView, SearchPlainView

    console = find_terminal(stream)
    return SearchLiveView(console) if console else SearchPlainView(stream)


def find_terminal(stream: TextIO) -> Console | None:
    """A console on the stream, where it is a terminal that a live view can draw on."""
    from rich.console import Console

    console = Console(file=stream)
    live = console.is_terminal and console.is_interactive and not console.is_dumb_terminal
    return console if live and stream.isatty() else None
