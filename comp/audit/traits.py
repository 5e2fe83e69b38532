"""Traits: what a look at every picture keeps of it: a thumbnail, size, bytes, colours. Each is read once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from comp.api import Read
from comp.errors import ImageError
from comp.images import bare_reason, list_sources, read_own_with_shape, read_with_shape
from comp.lookalikes import THUMB_PX, make_thumb

Progress = Callable[[int, int], None]

LOOK_PX = 64
"""JPEGs come at the smallest scale at which the shorter side has as many pixels, or more."""

LAYOUT_PX = 4
_CHUNK = 512


@dataclass(frozen=True)
class Traits:
    """What is known of P pictures.

    Attributes:
        refs: their references.
        content: (P,) uint64; equal where the pictures are, pixel by pixel, as they were looked at.
        thumbs: (P, 256) uint8, grey, 16 x 16.
        size_px: (P, 2) int64: height and width in the file.
        bytes: (P,) int64, of the file; 0 where there is none of its own.
        colours: (P, 6) float32: mean of red, green, blue, then their standard deviations, 0..255.
        layout: (P, 48) uint8: 4 x 4 pixels in colour.
        bad: picture -> why it cannot be read; its traits are zero.
    """

    refs: tuple[str, ...]
    content: np.ndarray
    thumbs: np.ndarray
    size_px: np.ndarray
    bytes: np.ndarray
    colours: np.ndarray
    layout: np.ndarray
    bad: dict[int, str]

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def readable(self) -> np.ndarray:
        """(P,) bool."""
        found = np.ones(len(self), bool)
        found[list(self.bad)] = False
        return found


def read_traits(
    refs: Sequence[str], root: Path, read: Read | None = None, progress: Progress | None = None, workers: int = 0
) -> Traits:
    """Look at every picture once.

    Args:
        refs: single images (no stacks), each once.
        root: what they are relative to.
        read: the dataset's own reader; None: image files.
        progress: called with (pictures done, pictures in all).
        workers: threads; 0: one per core.
    """
    count = len(refs)
    traits = Traits(
        tuple(refs), np.zeros(count, np.uint64), np.zeros((count, THUMB_PX**2), np.uint8),
        np.zeros((count, 2), np.int64), np.zeros(count, np.int64), np.zeros((count, 6), np.float32),
        np.zeros((count, 3 * LAYOUT_PX**2), np.uint8), {},
    )  # fmt: skip

    def look(place: int) -> None:
        try:
            _note_traits(traits, place, root, read)
        except ImageError as error:
            traits.bad[place] = bare_reason(error, root / refs[place])

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for start in range(0, count, _CHUNK):
            some = range(start, min(start + _CHUNK, count))
            list(pool.map(look, some))
            if progress:
                progress(some.stop, count)
    return traits


def _note_traits(traits: Traits, place: int, root: Path, read: Read | None) -> None:
    ref, size = traits.refs[place], (LOOK_PX, LOOK_PX)
    image, shape = read_with_shape(root / ref, size) if read is None else read_own_with_shape(read, ref, size)
    traits.size_px[place] = shape
    traits.bytes[place] = _count_bytes(root, ref, read)
    digest = hashlib.blake2b(f"{shape}{image.shape}".encode() + image.tobytes(), digest_size=8).digest()
    traits.content[place] = int.from_bytes(digest, "big")
    traits.thumbs[place] = make_thumb(image)
    colour = image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
    mean, std = cv2.meanStdDev(np.ascontiguousarray(colour))
    traits.colours[place] = [*mean[:, 0], *std[:, 0]]
    small = cv2.resize(np.ascontiguousarray(colour), (LAYOUT_PX, LAYOUT_PX), interpolation=cv2.INTER_AREA)
    traits.layout[place] = small.ravel()


def _count_bytes(root: Path, ref: str, read: Read | None) -> int:
    """Of the file that holds this picture alone; 0 in an archive or an array."""
    sources = list_sources(ref, read) if read is None or hasattr(read, "sources") else []
    try:
        return os.stat(root / ref).st_size if sources == [ref] else 0
    except (OSError, ValueError):
        return 0
