"""Closure: which source files a plugin consists of: its own, and those beside it that it imports.

Digests cover them, so that changing a helper module trains anew as changing the plugin does.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from comp.project import built_in_folder

# Most plugins import nothing beside them; parsing all that a manifest uses took a third of a second of each start.
_MAY_IMPORT = re.compile(rb"from[\s\\]*\.|\b(user|plugins)\b")


def hash_sources(file: Path, root: Path | None) -> str:
    """SHA-256, in hex, over a plugin's file and all local modules that it imports, directly or not.

    Args:
        root: the workspace, for imports by the name `comp.user`.
    """
    seen: dict[Path, bytes] = {}
    waiting = [file.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path] = path.read_bytes()
            waiting.extend(found.resolve() for found in _find_imports(path, seen[path], root))
    # Its own file first, the others by content: where a workspace lies must not matter.
    others = sorted(hashlib.sha256(text).hexdigest() for path, text in seen.items() if path != file.resolve())
    return hashlib.sha256("".join([hashlib.sha256(seen[file.resolve()]).hexdigest(), *others]).encode()).hexdigest()


def _find_imports(file: Path, text: bytes, root: Path | None) -> Iterator[Path]:
    for level, parts in _read_imports(text) if _MAY_IMPORT.search(text) else ():
        yield from _locate(file.parents[level - 1] if level else None, [*parts], root)


@lru_cache(maxsize=1024)
def _read_imports(text: bytes) -> list[tuple[int, tuple[str, ...]]]:
    """Whatever may be a module: how many dots its name begins with, and the name's parts."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []  # importing it will say so; as a text it still counts
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = tuple(node.module.split(".")) if node.module else ()
            found += [(node.level, path) for name in node.names for path in ((*parts, name.name), parts)]
        elif isinstance(node, ast.Import):
            found += [(0, tuple(name.name.split("."))) for name in node.names]
    return found


def _locate(base: Path | None, parts: list[str], root: Path | None) -> Iterator[Path]:
    if base is None:
        if parts[:2] == ["comp", "user"] and root is not None:
            base, parts = root, parts[2:]
        elif parts[:2] == ["comp", "plugins"]:
            base, parts = built_in_folder(), parts[2:]
        else:
            return
    path = base.joinpath(*parts)
    for found in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if parts and found.is_file():
            yield found
