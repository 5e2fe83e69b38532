"""A command's process: how it starts and ends quickly, although the libraries it imports are large."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import NoReturn

USUAL = gc.get_threshold()
IMPORTING = 50_000
"""Allocations between two searches for garbage while libraries are imported: there is none, and looking took half a second of
torch's, timm's and albumentations' four."""


def begin_imports() -> None:
    gc.set_threshold(IMPORTING, *USUAL[1:])


def end_imports() -> None:
    """From here on what holds itself and a batch goes as soon as it ever does."""
    gc.set_threshold(*USUAL)


def leave(code: int) -> NoReturn:
    """End with this exit code and without Python's teardown: 1.5 s after torch and timm, for what the kernel frees at once.

    What was registered to be done at the end is done. Where threads still work, or a pipe is closed, the end is Python's own.
    """
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            sys.exit(code)
        os._exit(code)
    sys.exit(code)
