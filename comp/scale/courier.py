"""Couriers: what brings goods to a node that does not see the workspace, and a fold's files back to their shelf."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from comp.errors import CompError, WorkspaceError
from comp.scale.shelves import Content, Shelf, ask, list_files, load_pieces

EVERY_S = 2.0
"""How often a courier looks for a new checkpoint."""


class Courier:
    """Takes what is new in a fold's folder to a shelf while the fold trains, and all of it at the end."""

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.shelf, self.folder = shelf, folder
        self.seen: dict[str, tuple[int, int]] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Courier:
        """Begins with what the shelf has."""
        for name in self.shelf.list():
            self.shelf.load(name, self.folder / name)
            self.seen[name] = look_at(self.folder / name)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()
        self.carry()

    def watch(self) -> None:
        while not self.over.wait(EVERY_S):
            try:
                self.carry()
            except (CompError, OSError):
                continue  # the next look tries again, and the last one says what is wrong

    def carry(self) -> None:
        """Take there what has changed since the last time, and remove what is no longer here."""
        names = list_files(self.folder)
        for name in names:
            try:
                now = look_at(self.folder / name)
                if self.seen.get(name) != now:
                    self.shelf.save(name, self.folder / name)
                    self.seen[name] = now
            except FileNotFoundError:
                continue  # it has gone meanwhile, as last.ckpt does
        for name in [name for name in self.seen if not (self.folder / name).exists()]:
            self.shelf.drop(name)
            del self.seen[name]


def look_at(path: Path) -> tuple[int, int]:
    """Time and size."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def fetch_goods(depot: Any, contents: Mapping[str, Content], folder: Path) -> None:
    """Bring files that a depot has into `folder`, each under its SHA-256; one that is there is there for all that follow.

    Raises:
        WorkspaceError: there is no room for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for content in {content.sha256: content for content in contents.values()}.values():
        target = folder / content.sha256
        with FileLock(folder / f".{content.sha256}.lock"):
            if target.exists():
                continue
            free = shutil.disk_usage(folder).free
            if content.bytes > free:
                raise WorkspaceError(
                    f"{folder} has {free / 2**30:.1f} GB free, and a file of {content.bytes / 2**30:.1f} GB is to come; free "
                    "some (all of that folder can be deleted), or set COMP_NODE_FOLDER to another before Ray is started there."
                )
            load_pieces(target, content, lambda start, sha256=content.sha256: ask(depot.read_goods, sha256, start))
