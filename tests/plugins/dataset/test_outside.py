"""Names that lead out of the data's folder, and names that only look like it."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from comp.plugins.dataset._places import leads_outside

NAMES = [
    *("a", "a.png", "a/b.png", "./a", "a..b", "..a", "a..", "...", "a/..b/c", "", ".", "~", "a b", "C", "é/ü.jpg"),
    *("..", "../a", "a/../b", "a/..", "/a", "//a/b", "C:", "C:a", "C:/a", "\\a", "\\\\host\\share\\a", "a\\..\\b", "..\\a"),
    "a\0b",
    *("a:b", "a\\b", "ab:c"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_leads_outside(name):
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    by_parts = posix.is_absolute() or bool(windows.anchor) or ".." in posix.parts or ".." in windows.parts or "\0" in name
    assert leads_outside(name) == by_parts
