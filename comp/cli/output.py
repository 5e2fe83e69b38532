"""What commands print: JSON for programs, text for people. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from comp.report.live import LiveView
    from comp.report.plain import PlainView
    from comp.report.search import SearchLiveView, SearchPlainView


def print_json(value: Any) -> None:
    click.echo(json.dumps(to_plain(value), indent=2, ensure_ascii=False))


def to_plain(value: Any) -> Any:
    """Plain JSON data: paths become text; NaN and infinities, which JSON has not, null; numpy's numbers Python's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def crop_lines(lines: Iterable[str]) -> list[str]:
    """Lines that fit the terminal, an ellipsis where one was longer; whole ones where stdout is none."""
    if not sys.stdout.isatty():
        return list(lines)
    width = shutil.get_terminal_size().columns
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(click.style(f"warning: {warning}", fg="yellow"), err=True)


def open_view(as_json: bool) -> LiveView | PlainView:
    """The view of a run: on stdout, or on stderr where stdout is for JSON."""
    from comp.report import choose_view

    return choose_view(sys.stderr if as_json else sys.stdout)


def open_search_view(as_json: bool) -> SearchLiveView | SearchPlainView:
    """The view of a search, on the same streams."""
    from comp.report import choose_search_view

    return choose_search_view(sys.stderr if as_json else sys.stdout)


def relative(path: Path) -> str:
    """A path as one would type it from here: without the current folder where it lies in it."""
    here = os.getcwd()
    return os.path.relpath(path, here) if path.is_absolute() and path.is_relative_to(here) else str(path)
