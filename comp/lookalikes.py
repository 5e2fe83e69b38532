"""Lookalikes: which images of two sets are nearly the same picture, by a hash of what they look like (dHash, N. Krawetz 2013).

Simple pictures (digits, characters) have close hashes without being the same: pairs are confirmed by comparing their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np

Pictures = Callable[[np.ndarray], Iterable[np.ndarray]]
"""Positions -> the pictures there, each (H, W, C) uint8."""

DISTANCE = 4
"""Bits of 64 in which the hashes of one picture in two files may differ (other size, other compression)."""

LIKENESS = 0.95
"""Least correlation of two grey thumbnails. Of 300 photos kept anew (smaller, JPEG 50; four rows cut off; brighter) whose hashes
were close, 100, 96 and 99% pass; of 3,699 pairs of different digits with close hashes a tenth."""

THUMB_PX = 16
_PARTS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
_CHUNK = 2**20


def hash_picture(image: np.ndarray) -> int:
    """dHash of (H, W, C) uint8: of 9 x 8 grey pixels, whether each is brighter than its right neighbour. 64 bits."""
    small = cv2.resize(_turn_grey(image), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, :-1] > small[:, 1:]).tobytes(), "big")


def hash_pictures(images: Iterable[np.ndarray]) -> np.ndarray:
    """(N,) uint64."""
    return np.fromiter((hash_picture(image) for image in images), np.uint64)


def find_lookalikes(ours: np.ndarray, theirs: np.ndarray, distance: int = DISTANCE) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (position in ours, position in theirs) whose hashes differ in `distance` bits at most.

    Two hashes that differ in at most 4 bits agree in one of five parts: only those that share a part are compared.

    Args:
        ours, theirs: (N,) and (M,) uint64.
        distance: 0 to 4.
    """
    assert 0 <= distance < len(_PARTS)
    left, of_left = np.unique(ours, return_inverse=True)
    right, of_right = np.unique(theirs, return_inverse=True)
    close = {pair for start, width in _PARTS for pair in _compare_part(left, right, start, width, distance)}
    if not close:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    mine, yours = _list_members(of_left, len(left)), _list_members(of_right, len(right))
    first = [np.repeat(mine[one], len(yours[other])) for one, other in sorted(close)]
    second = [np.tile(yours[other], len(mine[one])) for one, other in sorted(close)]
    return np.concatenate(first), np.concatenate(second)


def confirm_pairs(mine: np.ndarray, yours: np.ndarray, ours: Pictures, theirs: Pictures) -> np.ndarray:
    """(P,) bool: which of these pairs show the same, pixel by pixel.

    Args:
        ours, theirs: where the pictures of both sets are.
    """
    found = np.zeros(len(mine), bool)
    left, of_left = _make_thumbs(mine, ours)
    right, of_right = _make_thumbs(yours, theirs)
    for start in range(0, len(mine), _CHUNK // 16):
        some = slice(start, start + _CHUNK // 16)
        found[some] = (left[of_left[some]] * right[of_right[some]]).sum(axis=1) >= LIKENESS
    return found


def _make_thumbs(positions: np.ndarray, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """(unique positions, 256) float32 grey thumbnails, of mean 0 and length 1; and which of them each position has."""
    unique, which = np.unique(positions, return_inverse=True)
    thumbs = np.zeros((len(unique), THUMB_PX**2), np.uint8)
    for at, image in enumerate(pictures(unique)):
        thumbs[at] = make_thumb(image)
    return normalise_thumbs(thumbs), which


def make_thumb(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 -> (256,) uint8: 16 x 16 grey pixels."""
    return cv2.resize(_turn_grey(image), (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).ravel()


def normalise_thumbs(thumbs: np.ndarray) -> np.ndarray:
    """(N, 256) -> float32 of mean 0 and length 1, whose products are correlations. Of flat ones any two are the same."""
    centred = thumbs - thumbs.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.full_like(centred, 1 / THUMB_PX), where=length > 1e-6)


def _turn_grey(image: np.ndarray) -> np.ndarray:
    return image[:, :, 0] if image.shape[2] == 1 else image.mean(axis=2).astype(np.uint8)


def _compare_part(left: np.ndarray, right: np.ndarray, start: int, width: int, distance: int) -> Iterable[tuple[int, int]]:
    """Pairs of different hashes that agree in the `width` bits from `start` on and are close."""
    keys = [(hashes >> np.uint64(start)) & np.uint64(2**width - 1) for hashes in (left, right)]
    order = np.argsort(keys[1], kind="stable")
    begins, ends = (np.searchsorted(keys[1][order], keys[0], side=side) for side in ("left", "right"))
    counts = ends - begins
    total, at = np.cumsum(counts), 0
    while at < len(left):
        # As many at once as fit: one bucket of a million times a million must not fill the memory.
        until = max(at + 1, int(np.searchsorted(total, (total[at - 1] if at else 0) + _CHUNK)))
        some = counts[at:until]
        one = np.repeat(np.arange(at, until), some)
        other = order[np.repeat(begins[at:until] - np.r_[0, np.cumsum(some)[:-1]], some) + np.arange(some.sum())]
        near = np.bitwise_count(left[one] ^ right[other]) <= distance
        yield from zip(one[near].tolist(), other[near].tolist(), strict=True)
        at = until


def _list_members(codes: np.ndarray, count: int) -> list[np.ndarray]:
    """Positions of each code."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=count))[:-1])
