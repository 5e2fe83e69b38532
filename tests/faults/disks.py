"""Disks for a test: a small one that fills up, and one that becomes read-only."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted tmpfs."""

    folder: Path

    @property
    def filling(self) -> Path:
        return self.folder / "filling"

    def leave(self, size: int) -> None:
        """Take all but so many bytes of the free room."""
        self.free()
        facts = os.statvfs(self.folder)
        with open(self.filling, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - size)

    def free(self) -> None:
        self.filling.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing more is written from here on but to files that are open: the disk as one sees it has become read-only."""
        subprocess.run(["mount", "--bind", self.folder, self.folder], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.folder], check=True, capture_output=True)

    def open(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True, capture_output=True)


@contextmanager
def mount_disk(folder: Path, size: int) -> Iterator[Disk]:
    """A disk of so many bytes; skips the test where this process may mount none."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        while os.path.ismount(folder):
            Disk(folder).open()


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def drop_privileges() -> None:
    """From here on this process, root's perhaps, may do only what the modes of files allow."""
    capset = ctypes.CDLL(None, use_errno=True).capset
    if capset(ctypes.byref(_Header(0x20080522, 0)), (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")
