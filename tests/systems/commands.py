"""Commands, as if typed in a workspace."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from comp.cli import main


def comp(root: Path, *args: str) -> str:
    """What the command printed; it must have worked."""
    out = io.StringIO()
    with contextlib.chdir(root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(list(args))
    assert code == 0, f"comp {' '.join(args)}: exit code {code}\n{out.getvalue()}"
    return out.getvalue()


def with_sets(*sets: str) -> list[str]:
    return [word for text in sets for word in ("--set", text)]
