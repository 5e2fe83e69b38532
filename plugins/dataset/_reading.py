"""Reading: a reference becomes an image's bytes or pixels. It is a file's path, or that of a holder and a member."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from comp.api import DataError, ImageError

from ._archives import Holder, open_holder
from ._pixels import ARRAY_SUFFIXES, DICOM_SUFFIXES, SAMPLE, PixelRule, is_dicom, measure_limits


@dataclass(eq=False)
class BandsOfTable:
    """Pictures that stand in a table: (C, H, W) float32 of each row, by the row's number."""

    pictures: Sequence[np.ndarray]

    @property
    def names(self) -> list[str]:
        return list(map(str, range(len(self.pictures))))

    def read(self, name: str) -> np.ndarray:
        return self.pictures[int(name)]


@dataclass(eq=False)
class ReadImages:
    """comp.api.Read. Pickles as paths (and pictures of a table), not as open files.

    Attributes:
        root: the data's folder.
        holders: archives and arrays by their path from there; None: to be opened when an image of it is wanted.
    """

    root: Path
    rule: PixelRule
    holders: dict[str, Holder | None]
    lock: Any = field(default_factory=threading.Lock, repr=False)

    def __call__(self, ref: str) -> np.ndarray | bytes:
        return self.rule.read(self.fetch(ref), ref)

    @property
    def key(self) -> str:
        return repr(self.rule)

    def sources(self, ref: str) -> list[str]:
        return [self.locate(ref)[0] or ref]

    def fetch(self, ref: str) -> bytes | np.ndarray:
        """Raises: ImageError: there is no such file or member, or it is damaged."""
        path, member = self.locate(ref)
        if path is not None:
            return self.open(path).read(member)
        try:
            return (self.root / ref).read_bytes()
        except FileNotFoundError:
            raise ImageError("there is no such file") from None

    def locate(self, ref: str) -> tuple[str | None, str]:
        """The holder that a reference is in, and its member's name; None for a file of its own."""
        for path in self.holders:
            if ref.startswith(path + "/"):
                return path, ref[len(path) + 1 :]
        return None, ref

    def open(self, path: str) -> Holder:
        holder = self.holders[path]
        if holder is None:
            with self.lock:
                holder = self.holders[path] = self.holders[path] or open_holder(self.root / path)
        return holder

    def __getstate__(self) -> dict[str, Any]:
        kept = {path: holder if isinstance(holder, BandsOfTable) else None for path, holder in self.holders.items()}
        return {"root": self.root, "rule": self.rule, "holders": kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.Lock())


@dataclass(frozen=True)
class PixelWishes:
    """What the manifest says of pixels: dataset.range, layout, planes, window."""

    range: list[float] | str | None = None
    layout: str = "auto"
    planes: list[int] | None = None
    window: list[float] | str = "auto"

    def check(self) -> None:
        """Raises: DataError: a pair that is none."""
        for key, pair in (("range", self.range), ("window", self.window)):
            if isinstance(pair, list) and (len(pair) != 2 or (pair[1] <= pair[0] if key == "range" else pair[1] <= 1)):
                wanted = "[lowest, highest]" if key == "range" else "[centre, width above 1]"
                raise DataError(f"dataset.{key} is {pair}; wanted {wanted}")
        if self.planes is not None and (not self.planes or min(self.planes) < 0):
            raise DataError(f"dataset.planes is {self.planes}; wanted numbers of channels, from 0")

    def settle(self, limits: Any) -> PixelRule:
        """`limits`: as measured on the training images, for `auto`."""
        if isinstance(self.range, list):
            limits = ((self.range[0],), (self.range[1],))
        elif self.range == "image":
            limits = None
        elif limits is not None:
            limits = (tuple(limits[0]), tuple(limits[1]))
        window = (self.window[0], self.window[1]) if isinstance(self.window, list) else self.window
        return PixelRule(limits, self.range is not None, self.layout, tuple(self.planes) if self.planes else None, window)


def make_reader(
    root: Path, wishes: PixelWishes, holders: Mapping[str, Holder | None], refs: Sequence[str], facts: Mapping[str, Any] | None
) -> tuple[ReadImages | None, dict[str, Any]]:
    """The reader that these images need, and what was measured; None where they are image files that the kit reads itself.

    Args:
        refs: training images, no stacks; `auto` limits are measured on 64 of them.
        facts: what was measured before, for images that come later; None: measure.
    """
    wishes.check()
    reader = ReadImages(root, wishes.settle(None), dict(holders))
    if not holders and wishes.range is None and not _is_own_format(reader, refs):
        return None, {}
    if isinstance(wishes.range, list) or wishes.range == "image":
        return reader, {}
    if facts is None:
        images = _open_some(reader, refs)
        facts = {"limits": [list(side) for side in measure_limits(images)]} if images else {}
    return ReadImages(root, wishes.settle(facts.get("limits")), reader.holders), dict(facts)


def _is_own_format(reader: ReadImages, refs: Sequence[str]) -> bool:
    if any(ref.lower().endswith((*ARRAY_SUFFIXES, *DICOM_SUFFIXES)) for ref in refs):
        return True
    first = next((reader.root / ref for ref in refs if (reader.root / ref).is_file()), None)
    if first is None or first.suffix:
        return False
    with open(first, "rb") as file:  # DICOM often comes without an ending
        return is_dicom(file.read(132), first.name)


def _open_some(reader: ReadImages, refs: Sequence[str]) -> list[np.ndarray]:
    """Arrays among 64 images, evenly spread, that are not in bytes already; those that cannot be read are told of later."""
    found = []
    for ref in refs[:: max(1, len(refs) // SAMPLE)][:SAMPLE]:
        try:
            values = reader.rule.open_values(reader.fetch(ref), ref)
        except Exception:  # noqa: S112 - whatever it is, the kit meets it again and names the image
            continue
        if isinstance(values, np.ndarray) and values.dtype != np.uint8:
            found.append(values)
    return found
