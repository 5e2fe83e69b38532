"""How a command fails: a message on one screen for the user's mistakes, a log file for errors of comp itself."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from comp.errors import CompError
from comp.lacking import describe, lacks_memory


def explain_failure(error: Exception, args: Sequence[str]) -> int:
    """Say what went wrong on stderr; returns the exit code."""
    if isinstance(error, CompError):
        say(str(error))
        return error.exit_code
    if lacks_memory(error):
        say(f"the machine's memory has run out ({describe(error)}); end other programs, and run the command again.")
        return 1
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    log = write_crash_log(error, args)
    if log is None:
        say(f"{''.join(traceback.format_exception(error))}comp failed, which is a fault of comp or of a plugin: {line}")
    else:
        say(f"comp failed, which is a fault of comp or of a plugin: {line} (the traceback is in {log})")
    return 1


def say(text: str) -> None:
    """On stderr, if there is still somebody to read it."""
    try:
        click.echo(text, err=True)
    except OSError:
        from comp.report.streams import let_go

        let_go(sys.stderr)


def write_crash_log(error: Exception, args: Sequence[str]) -> Path | None:
    """Keep the traceback in the workspace's .comp folder; None where there is no workspace or it cannot be written."""
    from comp.project import atomic_write, find_project

    try:
        path = find_project().root / ".comp" / time.strftime("crash-%Y%m%d-%H%M%S.log")
        atomic_write(path, f"comp {' '.join(args)}\n\n{''.join(traceback.format_exception(error))}")
    except CompError:
        return None
    return path
