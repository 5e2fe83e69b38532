"""Reports: readers of the event stream that people look at (live view, plain lines, HTML) and the tables of the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from comp.report.live import LiveView
    from comp.report.plain import PlainView


def choose_view(stream: TextIO) -> LiveView | PlainView:
    """The view that fits the stream: live on a terminal, plain lines elsewhere (a file, a pipe, CI, a notebook)."""
    from rich.console import Console

    from comp.report.live import LiveView
    from comp.report.plain import PlainView

    console = Console(file=stream)
    live = console.is_terminal and console.is_interactive and not console.is_dumb_terminal
    return LiveView(console) if live and stream.isatty() else PlainView(stream)
