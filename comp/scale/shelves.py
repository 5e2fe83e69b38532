"""Shelves: where the files of folds are kept while they train on nodes that do not see the workspace.

A file is kept whole or not at all, and is what it was: its SHA-256 goes with it. A shelf is a `Depot` on the machine of the run,
which nodes ask by Ray, or a folder of whatever pyarrow.fs can write.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from comp.errors import RunError, WorkspaceError
from comp.project import hash_file
from comp.scale.cluster import get_apart

CHUNK_BYTES = 16 * 2**20


class Content(NamedTuple):
    """What a file holds."""

    sha256: str
    bytes: int


def describe_file(path: Path) -> Content:
    return Content(hash_file(path), path.stat().st_size)


class Shelf(Protocol):
    """Files by their name below a fold's folder."""

    def list(self) -> list[str]:
        """All of them."""

    def load(self, name: str, target: Path) -> None:
        """Bring one here."""

    def save(self, name: str, source: Path) -> None:
        """Take one there, in place of what it was."""

    def drop(self, name: str) -> None:
        """Remove one, if it is there."""


# ---- on the machine of the run -------------------------------------------------------------------------------------------


class Depot:
    """Reads and writes files of the machine of the run for other nodes, piece by piece; Ray runs it as an actor.

    Attributes:
        folder: what may be listed and written: the run's.
        goods: SHA-256 -> the file that holds it, which may be read.
    """

    def __init__(self, folder: str, goods: Mapping[str, str]) -> None:
        self.folder, self.goods = Path(folder), dict(goods)

    def read_goods(self, sha256: str, start: int) -> bytes:
        return read_piece(Path(self.goods[sha256]), start)

    def list(self, fold: str) -> list[str]:
        return list_files(self.folder / fold)

    def describe(self, fold: str, name: str) -> Content:
        return describe_file(self.folder / fold / name)

    def read(self, fold: str, name: str, start: int) -> bytes:
        return read_piece(self.folder / fold / name, start)

    def write(self, fold: str, name: str, start: int, piece: bytes) -> None:
        part = name_part(self.folder / fold / name)
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb" if start == 0 else "ab") as file:
            file.truncate(start)
            file.write(piece)

    def keep(self, fold: str, name: str, sha256: str) -> bool:
        """What was written becomes the file. False: it is not what was sent."""
        return keep_part(self.folder / fold / name, sha256)

    def drop(self, fold: str, name: str) -> None:
        (self.folder / fold / name).unlink(missing_ok=True)


class DepotShelf:
    """A fold's files in a depot, seen from a node. `fold`: the name of its folder."""

    def __init__(self, depot: Any, fold: str) -> None:
        self.depot, self.fold = depot, fold

    def list(self) -> list[str]:
        return ask(self.depot.list, self.fold)

    def load(self, name: str, target: Path) -> None:
        content = Content(*ask(self.depot.describe, self.fold, name))
        load_pieces(target, content, lambda start: ask(self.depot.read, self.fold, name, start))

    def save(self, name: str, source: Path) -> None:
        start, size = 0, source.stat().st_size
        while start < size or start == 0:
            piece = read_piece(source, start)
            ask(self.depot.write, self.fold, name, start, piece)
            start += max(1, len(piece))
        if not ask(self.depot.keep, self.fold, name, hash_file(source)):
            raise RunError(f"{name} of {self.fold} came to the run's folder as another file than was sent")

    def drop(self, name: str) -> None:
        ask(self.depot.drop, self.fold, name)


def ask(method: Any, *given: Any) -> Any:
    """What an actor's method returns.

    Raises:
        WorkspaceError: the machine of the run cannot read or write a file.
    """
    try:
        return get_apart(method.remote(*given))
    except OSError as error:
        why = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
        raise WorkspaceError(f"the machine of the run cannot give or take a file: {why}") from error


def read_piece(path: Path, start: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(CHUNK_BYTES)


def load_pieces(target: Path, content: Content, read: Any) -> None:
    """Bring a file here. `read`: where a piece starts -> the piece.

    Raises:
        RunError: what came is something else.
    """
    part = name_part(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "wb") as file:
        while file.tell() < content.bytes:
            if not file.write(read(file.tell())):
                break
    if not keep_part(target, content.sha256):
        raise RunError(f"{target.name} came as another file than was sent")


def name_part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def keep_part(path: Path, sha256: str) -> bool:
    part = name_part(path)
    if hash_file(part) != sha256:
        part.unlink()
        return False
    os.replace(part, path)
    return True


def list_files(folder: Path) -> list[str]:
    """Names below a folder, those last that say that the others are there; not what begins with a dot."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return [str(name) for name in sorted(found, key=lambda name: (name.name == "fold.json", -len(name.parts), name))]


# ---- a folder of pyarrow.fs ----------------------------------------------------------------------------------------------


class StorageShelf:
    """A fold's files below a URI (s3://…, gs://…, hdfs://…, file:///…)."""

    def __init__(self, uri: str, *folders: str) -> None:
        self.system, base = open_storage(uri)
        self.base = "/".join([base.rstrip("/"), *folders])

    def list(self) -> list[str]:
        from pyarrow import fs

        found = self.system.get_file_info(fs.FileSelector(self.base, allow_not_found=True, recursive=True))
        names = [Path(entry.path[len(self.base) + 1 :]) for entry in found if entry.type == fs.FileType.File]
        whole = [name for name in names if not name.name.startswith(".")]
        return [str(name) for name in sorted(whole, key=lambda name: (name.name == "fold.json", -len(name.parts), name))]

    def load(self, name: str, target: Path) -> None:
        part = name_part(target)
        part.parent.mkdir(parents=True, exist_ok=True)
        with self.system.open_input_stream(f"{self.base}/{name}") as source, open(part, "wb") as file:
            shutil.copyfileobj(source, file, CHUNK_BYTES)
        os.replace(part, target)

    def save(self, name: str, source: Path) -> None:
        path = f"{self.base}/{name}"
        folder, _, last = path.rpartition("/")
        self.system.create_dir(folder, recursive=True)
        with open(source, "rb") as file, self.system.open_output_stream(f"{folder}/.{last}.part") as target:
            shutil.copyfileobj(file, target, CHUNK_BYTES)
        self.system.move(f"{folder}/.{last}.part", path)

    def drop(self, name: str) -> None:
        if name in self.list():
            self.system.delete_file(f"{self.base}/{name}")


def open_storage(uri: str) -> tuple[Any, str]:
    """(file system, path) of a URI.

    Raises:
        WorkspaceError: pyarrow cannot open it, or it cannot be written.
    """
    from pyarrow import ArrowException, fs

    try:
        system, base = fs.FileSystem.from_uri(uri)
        system.create_dir(base, recursive=True)
    except (ArrowException, OSError, ValueError) as error:
        wanted = "wanted a folder that pyarrow.fs can write, as in s3://bucket/runs or file:///mnt/runs"
        raise WorkspaceError(f"--storage {uri} cannot be written ({str(error).splitlines()[0]}); {wanted}.") from error
    return system, base
