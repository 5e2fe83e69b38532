"""Packed: the one table inside an archive or a compressed file (train.json.7z, train.csv.zip, train.csv.gz), read into memory.

Nothing is written to disk, so that no name in an archive leads anywhere, and no more than LARGEST_BYTES are unpacked.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from comp.errors import DataError

PACKED = (".7z", ".zip", ".gz")
LARGEST_BYTES = 2**31
CHUNK_BYTES = 2**20


def is_packed(name: str) -> bool:
    return name.lower().endswith(PACKED)


def unpack_table(path: Path) -> tuple[str, bytes]:
    """The name that a table has inside its archive (without folders), and what stands in it.

    Of several files it is the one called as the archive is without its ending.

    Raises:
        DataError: it is damaged, too large, locked, holds no table or several, or takes py7zr, which is not installed.
    """
    read = {".7z": read_seven, ".zip": read_zip, ".gz": read_gzip}[path.suffix.lower()]
    try:
        return read(path)
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path.name} cannot be unpacked: {error or type(error).__name__}") from error


def read_zip(path: Path) -> tuple[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist() if info.filename and not info.is_dir()}
        chosen = members[choose_member({name: info.file_size for name, info in members.items()}, path)]
        if chosen.flag_bits & 1:
            raise DataError(f"{path.name} is locked with a password; unpack it first")
        # zipfile reads no more of a member than its entry says.
        return PurePosixPath(chosen.filename).name, archive.read(chosen)


def read_gzip(path: Path) -> tuple[str, bytes]:
    """What it holds is not known before it is read: bit by bit, so that a bomb takes no more memory than is allowed."""
    parts, total = [], 0
    with gzip.open(path) as file:
        while part := file.read(CHUNK_BYTES):
            parts.append(part)
            total += len(part)
            demand_size(path, total)
    return path.stem, b"".join(parts)


def read_seven(path: Path) -> tuple[str, bytes]:
    try:
        import py7zr
        from py7zr.io import BytesIOFactory
    except ImportError:
        hint = "pip install 'comp-kit[archives]', or unpack it first"
        raise DataError(f"{path.name}: 7z is read by py7zr, which is not installed: {hint}") from None
    try:
        with py7zr.SevenZipFile(path) as archive:
            if archive.needs_password():
                raise DataError(f"{path.name} is locked with a password; unpack it first")
            sizes = {info.filename: info.uncompressed for info in archive.list() if not info.is_directory}
            chosen = choose_member(sizes, path)
            memory = BytesIOFactory(LARGEST_BYTES)
            archive.extract(targets=[chosen], factory=memory)
        return PurePosixPath(chosen).name, memory.get(chosen).read()
    except DataError:
        raise
    except Exception as error:  # damaged headers make py7zr raise whatever its parser meets: TypeError, AssertionError, ...
        raise DataError(f"{path.name} cannot be unpacked: {error or type(error).__name__}") from error


def choose_member(sizes: Mapping[str, int], path: Path) -> str:
    """Of the files of an archive the one that is meant.

    Args:
        sizes: name -> bytes when unpacked.

    Raises:
        DataError: there is none, or it is not clear which; or it is too large.
    """
    seen = [name for name in sizes if is_visible(name)]
    alike = [name for name in seen if PurePosixPath(name).name.lower() == path.stem.lower()]
    if len(chosen := alike or seen) != 1:
        there = ", ".join(map(repr, chosen[:3])) + (", ..." if len(chosen) > 3 else "")
        held = f"{len(chosen)} files ({there})" if chosen else "no file"
        raise DataError(f"{path.name} holds {held}; wanted one table, or one that is called {path.stem!r}: else unpack it first")
    demand_size(path, sizes[chosen[0]])
    return chosen[0]


def is_visible(name: str) -> bool:
    """Whether it is no file of a Mac's own, nor hidden, nor nameless."""
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


def demand_size(path: Path, size: int) -> None:
    if size > LARGEST_BYTES:
        raise DataError(f"{path.name}: its table takes more than {LARGEST_BYTES / 2**30:.2g} GB unpacked; unpack it first")
