"""How a command fails: a message on one screen for the user's mistakes, a log file for errors of comp itself."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from comp.errors import CompError


def explain_failure(error: Exception, args: Sequence[str]) -> int:
    """Say what went wrong on stderr; returns the exit code."""
    if isinstance(error, CompError):
        click.echo(str(error), err=True)
        return error.exit_code
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    log = write_crash_log(error, args)
    if log is None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        click.echo(f"comp failed, which is a fault of comp or of a plugin: {line}", err=True)
    else:
        click.echo(f"comp failed, which is a fault of comp or of a plugin: {line} (the traceback is in {log})", err=True)
    return 1


def write_crash_log(error: Exception, args: Sequence[str]) -> Path | None:
    """Keep the traceback in the workspace's .comp folder; None where there is no workspace or it cannot be written."""
    from comp.project import atomic_write, find_project

    try:
        path = find_project().root / ".comp" / time.strftime("crash-%Y%m%d-%H%M%S.log")
        atomic_write(path, f"comp {' '.join(args)}\n\n{''.join(traceback.format_exception(error))}")
    except CompError:
        return None
    return path
