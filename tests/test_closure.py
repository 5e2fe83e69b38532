"""comp.closure: which files a plugin consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from comp.closure import hash_sources


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "line",
    [
        "from .helper import x", "from . import helper", "from .helper.deep import x", "from ..exp.helper import x",
        "from comp.user.exp.helper import x", "from comp.user.exp import helper", "import comp.user.exp.helper",
        "def f():\n    from .helper import x",
    ],
)  # fmt: skip
def test_a_local_import_counts(tmp_path: Path, line: str) -> None:
    hashes = set()
    for value in ("1", "2"):
        write(tmp_path, exp__mine=f"{line}\n", exp__helper=f"x = {value}\n", exp__helper__deep=f"x = {value}\n")
        hashes.add(hash_sources(tmp_path / "exp" / "mine.py", tmp_path))
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "line", ["import helper", "from helper import x", "import os", "from .elsewhere import x", "x = 1", "def f(:"]
)
def test_what_is_not_imported_from_beside_it_does_not_count(tmp_path: Path, line: str) -> None:
    hashes = set()
    for value in ("1", "2"):
        write(tmp_path, exp__mine=f"{line}\n", exp__helper=f"x = {value}\n")
        hashes.add(hash_sources(tmp_path / "exp" / "mine.py", tmp_path))
    assert len(hashes) == 1


def test_a_circle_ends(tmp_path: Path) -> None:
    write(tmp_path, exp__mine="from . import helper\n", exp__helper="from . import mine\n")
    assert len(hash_sources(tmp_path / "exp" / "mine.py", tmp_path)) == 64
