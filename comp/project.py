"""Project: where things lie in a workspace, what they may be called, and how its files are written.

A workspace is the folder that holds competition.yaml. This module knows paths and names; what stands in the files belongs to
the module that owns the noun.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from comp.errors import WorkspaceError

COMPETITION_FILE = "competition.yaml"
MANIFEST_FILE = "manifest.yaml"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Project:
    """A workspace."""

    root: Path

    @property
    def competition_file(self) -> Path:
        return self.root / COMPETITION_FILE

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions"

    @property
    def folds(self) -> Path:
        return self.root / "folds"

    @property
    def cache(self) -> Path:
        return self.root / ".comp" / "cache"

    def names(self) -> list[str]:
        """The experiments of this workspace, sorted."""
        return sorted(path.parent.name for path in self.experiments.glob(f"*/{MANIFEST_FILE}"))

    def experiment(self, name: str) -> Path:
        """The folder of an experiment that exists.

        Raises:
            WorkspaceError: the name is not one, or there is no such experiment.
        """
        check_name(name)
        folder = self.experiments / name
        if (folder / MANIFEST_FILE).is_file():
            return folder
        near = suggest(name, self.names())
        raise WorkspaceError(f"there is no experiment {name!r} in {self.experiments}{near or f'; `comp new {name}` makes it'}")

    def parent(self, name: str) -> Path:
        """The folder of what may be extended: an experiment of this workspace, or else an example that comp ships.

        Raises:
            WorkspaceError: neither is there.
        """
        check_name(name)
        for folder in (self.experiments / name, examples_folder() / name):
            if (folder / MANIFEST_FILE).is_file():
                return folder
        known = {*self.names(), *(path.parent.name for path in examples_folder().glob(f"*/{MANIFEST_FILE}"))}
        raise WorkspaceError(f"there is no experiment and no example {name!r}{suggest(name, known)}")

    def next_free_name(self) -> str:
        """`exp001`, or one more than the highest number that an experiment or its submissions bear."""
        taken = [
            int(match[1])
            for folder in (self.experiments, self.submissions)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if (match := re.fullmatch(r"exp(\d+)", path.name))
        ]
        return f"exp{max(taken, default=0) + 1:03d}"

    def activate(self) -> None:
        """Make this workspace the one that `comp.user` imports from, here and in processes that are started from here."""
        root = str(self.root)
        package = importlib.import_module("comp.user")
        if os.environ.get("COMP_WORKSPACE") == root and list(package.__path__) == [root]:
            return
        os.environ["COMP_WORKSPACE"] = root
        package.__path__ = [root]
        forget_user_modules()


def forget_user_modules() -> None:
    """Have what stands under `comp.user` imported anew when it is next asked for."""
    package = sys.modules.get("comp.user")
    for name in [name for name in sys.modules if name.startswith("comp.user.")]:
        del sys.modules[name]
        if package is not None and name.count(".") == 2:
            vars(package).pop(name.rpartition(".")[2], None)
    importlib.invalidate_caches()


def find_project(start: Path | None = None) -> Project:
    """The workspace that `start` (default: the current folder) lies in.

    Raises:
        WorkspaceError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / COMPETITION_FILE).is_file():
            return Project(folder)
    raise WorkspaceError(f"no {COMPETITION_FILE} in {here} or above it; `comp init` makes a workspace here")


def built_in_folder() -> Path:
    """Where the plugins of comp itself lie: inside the package, or beside it in a checkout."""
    inside = Path(__file__).parent / "plugins"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "plugins"


def examples_folder() -> Path:
    """Where the manifests that comp ships lie."""
    inside = Path(__file__).parent / "examples"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "experiments"


def competitions_folder() -> Path:
    """Where the forms of known competitions lie."""
    inside = Path(__file__).parent / "competitions"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "competitions"


def runs_from_checkout() -> bool:
    """Whether comp's own plugins can be edited, so that their sources count for digests."""
    return not (Path(__file__).parent / "plugins").is_dir()


def check_name(name: str) -> str:
    """Raises: WorkspaceError: `name` cannot be the name of an experiment."""
    if not NAME.fullmatch(name):
        wanted = "wanted small letters, digits and _, a letter first, 64 at most (exp042)"
        raise WorkspaceError(f"{name!r} cannot name an experiment: {wanted}")
    return name


def suggest(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'focal'?`, or nothing where nothing is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all: a temporary one in the same folder, flushed, then renamed.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # of a folder that cannot be written
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that nobody else writes to, and below it."""
    for left in folder.rglob(".*.tmp"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Only one process at a time is in here; where its holder dies the kernel frees the lock.

    Raises:
        WorkspaceError: its folder cannot be written.
    """
    from filelock import FileLock  # 40 ms that commands which only read need not pay

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise WorkspaceError(f"{path.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def append_line(path: Path, text: str) -> None:
    """Append one whole line under a lock. What a killed process left of a line is cut off first.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    try:
        with hold_lock(path.with_name(f".{path.name}.lock")), open(path, "a+b") as file:
            cut_torn_line(file)
            file.write(text.rstrip("\n").encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror or error}") from error


def cut_torn_line(file: BinaryIO) -> None:
    """Remove a last line that a killed process left without its end. `file` is open for reading and appending, in bytes."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of plain data in canonical JSON (keys sorted, no spaces), in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
