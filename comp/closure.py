"""Closure: which source files a plugin consists of: its own, and those beside it that it imports.

Digests cover them, so that changing a helper module trains anew as changing the plugin does.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from comp.project import built_in_folder


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
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # importing it will say so; as a text it still counts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            base = file.parents[node.level - 1] if node.level else None
            for name in node.names:
                yield from _locate(base, [*parts, name.name], root)
                yield from _locate(base, parts, root)
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield from _locate(None, name.name.split("."), root)


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
