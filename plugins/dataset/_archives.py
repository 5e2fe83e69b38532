"""Archives and arrays that hold many images, read in place from several threads; nothing is ever extracted.

A member whose name leads outside is not listed, so that no table can name it.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from comp.api import DataError, ImageError

LARGEST_BYTES = 2**31
BOMB_RATIO = 100
"""Of what unpacks to more than that; images do not shrink so far."""
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}


class Holder(Protocol):
    """One file of many images: `names` of its members, and a member by its name, as bytes of an image file or as an array."""

    names: list[str]

    def read(self, name: str) -> bytes | np.ndarray: ...


def open_holder(path: Path) -> Holder:
    """Raises: DataError: it is none of zip, plain tar, .npy and .npz, or damaged."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
        if path.suffix.lower() == ".npz":
            return ArraysByName(path)
        if head[:6] == b"\x93NUMPY":
            return ArrayOfImages(np.load(path, mmap_mode="r", allow_pickle=False))
        if head[:2] == b"PK":
            return ZipOfImages(path)
        if head[257:262] == b"ustar":
            return TarOfImages(path)
    except Exception as error:  # zipfile, tarfile and numpy raise whatever they meet in a damaged file
        raise DataError(f"{path} cannot be read: {error or type(error).__name__}") from error
    kind = next((kind for magic, kind in COMPRESSED.items() if head.startswith(magic)), None)
    if kind:
        raise DataError(f"{path.name} is compressed ({kind}), so that its images cannot be read in place; unpack it first")
    raise DataError(f"{path.name} is no archive; images lie in a folder, a zip, a plain tar, an .npz or an .npy")


def is_safe(name: str) -> bool:
    """Whether a member is an image of the competition: inside, visible, and no file of a Mac's own."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    outside = name.startswith(("/", "\\")) or ".." in parts or ":" in name[:3] or "\0" in name
    return not (outside or not parts or parts[0] == "__MACOSX" or parts[-1].startswith("."))


class ZipOfImages:
    """A zip. zipfile reads its members from several threads at once: only moving in the file is under its lock."""

    def __init__(self, path: Path) -> None:
        self.file = zipfile.ZipFile(path)
        self.members = {info.filename: info for info in self.file.infolist() if is_safe(info.filename) and not info.is_dir()}
        self.names = sorted(self.members)

    def read(self, name: str) -> bytes:
        info = self.members.get(name)
        if info is None:
            raise ImageError("there is no such member in the archive")
        if info.file_size > LARGEST_BYTES:
            raise ImageError(f"the member would take {info.file_size / 2**30:.0f} GB")
        return self.file.read(info)


class TarOfImages:
    """A plain tar (whatever its name says): where each member lies is listed once."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path, "r:") as archive:
            self.members = {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
        self.members = {name.removeprefix("./"): place for name, place in self.members.items() if is_safe(name)}
        self.names = sorted(self.members)
        self.descriptor = os.open(path, os.O_RDONLY)

    def read(self, name: str) -> bytes:
        if name not in self.members:
            raise ImageError("there is no such member in the archive")
        start, size = self.members[name]
        data = os.pread(self.descriptor, size, start)
        if len(data) < size:
            raise ImageError("the archive ends within the member")
        return data

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass
class ArrayOfImages:
    """(N, H, W), (N, H, W, C) or (N, C, H, W): an image's name is its number."""

    array: Any

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4):
            raise ValueError(f"an array of shape {self.array.shape}; wanted (images, height, width) with or without channels")

    @property
    def names(self) -> list[str]:
        return list(map(str, range(len(self.array))))

    def read(self, name: str) -> np.ndarray:
        return np.asarray(self.array[int(name)])


class ArraysByName:
    """An .npz: an array an image under the image's name; or one array alone, of all images, by number."""

    def __init__(self, path: Path) -> None:
        self.arrays = np.load(path, allow_pickle=False)
        if not isinstance(self.arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is no zip of arrays")
        self.names = sorted(self.arrays.files)
        demand_no_bomb(self.arrays.zip)
        self.whole: ArrayOfImages | None = None
        if len(self.names) == 1 and (only := self.arrays[self.names[0]]).ndim >= 3:
            self.whole = ArrayOfImages(only)
            self.names = self.whole.names

    def read(self, name: str) -> np.ndarray:
        return self.whole.read(name) if self.whole else self.arrays[name]


def demand_no_bomb(file: zipfile.ZipFile) -> None:
    """Raises: ValueError: a few bytes of it unpack to gigabytes."""
    for info in file.infolist():
        if info.file_size > max(LARGEST_BYTES, BOMB_RATIO * info.compress_size):
            raise ValueError(f"{info.filename} is {info.compress_size:,} bytes that would take {info.file_size / 2**30:.0f} GB")
