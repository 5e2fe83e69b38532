"""Streams that lead nowhere any more: a terminal that was closed, a pipe whose reader has gone."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO


def let_go(stream: IO[str]) -> None:
    """What is still printed there is lost. Without this, flushing what is left at the end would make a failure of a whole run."""
    with suppress(OSError):  # a stream that is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
