"""Twins: which of many pictures are nearly the same, in about n log n: those are compared whose hashes share a part.

What all pictures here have in common is no likeness, neither to the hash nor to the judge: photographs differ, digits and X-rays
do not. (The hash of comp.lookalikes needs no other pictures; of drawings on white nearly all of its bits are the same.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from comp.audit.forest import Forest
from comp.audit.traits import Traits
from comp.lookalikes import normalise_thumbs
from comp.pictures import spread

LIKENESS = 0.96
"""Least correlation of two grey thumbnails. Of 2,048 paintings the seven pairs that reach it are the same pictures; at 0.955 two
guitars on white only look alike."""

BITS = 128
FARTHEST = 14
"""Bits of a hash in which twins may differ. Of 150 paintings each, kept anew at half the size as JPEG 50, as JPEG 30, darker, and
with noise, all have hashes as close as that, of brighter ones and of those with 2% cut off 99%, with 5% a quarter."""

CROWD = 100
"""Of more pictures that share a byte of their hashes, only those are compared that share a second one: of 16 bytes, 14 bits that
differ leave two as they are."""

WINDOW = 64
"""Where that is not enough, each is compared with as many next to it in the order of the hashes."""

FLAT = 1.5
"""Standard deviation of a thumbnail's grey, 0..255, below which a picture shows nothing."""

_SAMPLE = 2000
_FEWEST = 50
_BATCH = 2**15
_LEAST, _MOST = 0.9, 0.995


@dataclass(frozen=True)
class Twins:
    """Pairs of pictures that look the same: as many as join all that do, and the training pictures among them.

    Attributes:
        first, second: (T,) int64 each: pictures.
        likeness: (T,) float32: how their thumbnails correlate; 1 where they are equal.
        demanded: what that had to be at least, the mean of all pictures taken off.
        flat: pictures that show nothing, and were compared with none.
        crowded: pictures of which not all that may be twins were compared.
    """

    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray
    demanded: float
    flat: np.ndarray
    crowded: int


def find_twins(traits: Traits, ours: int) -> Twins:
    """Twins among pictures that can be read and show something.

    Args:
        ours: pictures below it are of the training set.
    """
    is_flat = traits.readable & (_spread_of(traits.thumbs) < FLAT)
    shown = np.flatnonzero(traits.readable & ~is_flat)
    _, kept, which = np.unique(traits.content[shown], return_index=True, return_inverse=True)
    again = np.setdiff1d(np.arange(len(shown)), kept)
    single = shown[np.sort(kept)]
    judge = Judge.of(traits.thumbs[single])
    crowd: set[int] = set()
    forest = Forest(len(single), int(np.searchsorted(single, ours)))
    for one, other in _gather(_list_close(judge.hash(), crowd, forest)):
        apart = forest.lacks(one, other)
        forest.join(*judge.confirm(one[apart], other[apart]))
    near = np.array(forest.pairs, np.int64).reshape(-1, 2).T
    first = np.r_[shown[kept[which[again]]], single[near[0]]]
    second = np.r_[shown[again], single[near[1]]]
    likeness = np.r_[np.ones(len(again), np.float32), judge.compare(near[0], near[1])]
    return Twins(first, second, likeness, judge.demanded, np.flatnonzero(is_flat), len(crowd))


@dataclass(frozen=True)
class Judge:
    """Says which pictures are twins: by the correlation of their thumbnails, as they are and without the mean of all.

    Attributes:
        thumbs: (P, 256) uint8.
        grey, length: (P,) float32 each: a thumbnail's mean, and its length without it.
        mean: (256,) float32, of all normalised thumbnails; zero where there are too few to know it.
        common: (P,) float32: the product of a normalised thumbnail and that mean.
        demanded: least correlation without it.
    """

    thumbs: np.ndarray
    grey: np.ndarray
    length: np.ndarray
    mean: np.ndarray
    common: np.ndarray
    demanded: float

    @classmethod
    def of(cls, thumbs: np.ndarray) -> Judge:
        grey = thumbs.mean(axis=1, dtype=np.float32)
        length = np.maximum(_spread_of(thumbs) * thumbs.shape[1] ** 0.5, 1e-6)
        mean, demanded = np.zeros(thumbs.shape[1], np.float32), LIKENESS
        if len(thumbs) >= _FEWEST:
            sample = normalise_thumbs(thumbs[spread(len(thumbs), _SAMPLE)])
            mean = sample.mean(axis=0)
            rest = sample - mean
            demanded = settle_likeness(rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6), len(thumbs))
        products = _by_blocks(thumbs, lambda some: some @ mean)
        return cls(thumbs, grey, length, mean, (products - grey * mean.sum()) / length, demanded)

    def hash(self) -> np.ndarray:
        """(P, 16) uint8: on which side of 128 random planes a thumbnail without the mean lies (Charikar 2002)."""
        planes = np.random.default_rng(0).standard_normal((self.thumbs.shape[1], BITS)).astype(np.float32)
        found = np.empty((len(self.thumbs), BITS // 8), np.uint8)
        for start in range(0, len(found), _BATCH):
            rest = normalise_thumbs(self.thumbs[start : start + _BATCH]) - self.mean
            found[start : start + _BATCH] = np.packbits(rest @ planes > 0, axis=1)
        return found

    def confirm(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Those of the pairs that are twins: (2, n) int64."""
        whole = self.compare(first, second)
        left, right = self.common[first], self.common[second]
        square = float(self.mean @ self.mean)
        lengths = np.sqrt(np.maximum(1 - 2 * left + square, 1e-6) * np.maximum(1 - 2 * right + square, 1e-6))
        kept = (whole >= LIKENESS) & ((whole - left - right + square) / lengths >= self.demanded)
        return np.stack([first[kept], second[kept]])

    def compare(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n,) float32: the correlation of each pair's thumbnails."""
        products = np.empty(len(first), np.float32)
        for start in range(0, len(first), _BATCH):
            some = slice(start, start + _BATCH)
            sides = (self.thumbs[side[some]].astype(np.float32) for side in (first, second))
            products[some] = np.einsum("ij,ij->i", *sides)
        pixels = self.thumbs.shape[1]
        products -= pixels * self.grey[first] * self.grey[second]
        return products / (self.length[first] * self.length[second])


def _by_blocks(thumbs: np.ndarray, work_out: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(P,) float32: what is worked out of float32 thumbnails, of which never all are there at once."""
    found = np.empty(len(thumbs), np.float32)
    for start in range(0, len(found), _BATCH):
        some = slice(start, start + _BATCH)
        found[some] = work_out(thumbs[some].astype(np.float32))
    return found


def _spread_of(thumbs: np.ndarray) -> np.ndarray:
    """(P,) float32: each one's standard deviation."""
    return _by_blocks(thumbs, lambda some: some.std(axis=1))


def settle_likeness(sample: np.ndarray, count: int) -> float:
    """The correlation that, of all pairs among `count` pictures, half a pair has by chance.

    From the ninth decile to the 99th percentile, and so beyond, Fisher's z of the correlations is taken for normal. Twins leave
    both alone, unless they are one pair in a hundred.

    Args:
        sample: (S, 256) float32, of length 1.
    """
    products = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    low, high = np.arctanh(np.clip(np.quantile(products, [0.9, 0.99]), -0.999, 0.999))
    normal, pairs = NormalDist(), max(1, count * (count - 1) // 2)
    slope = (high - low) / (normal.inv_cdf(0.99) - normal.inv_cdf(0.9))
    farther = normal.inv_cdf(1 - 0.5 / (pairs + 1)) - normal.inv_cdf(0.99)
    return float(np.clip(np.tanh(high + slope * farther), _LEAST, _MOST))


def _gather(pairs: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same pairs, many at once."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for pair in pairs:
        waiting.append(pair)
        if sum(len(first) for first, _ in waiting) >= _BATCH:
            yield np.concatenate([first for first, _ in waiting]), np.concatenate([second for _, second in waiting])
            waiting = []
    if waiting:
        yield np.concatenate([first for first, _ in waiting]), np.concatenate([second for _, second in waiting])


def _list_close(hashes: np.ndarray, crowd: set[int], forest: Forest) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (first < second) that the forest lacks and whose hashes differ in FARTHEST bits at most. Some come several times.

    Args:
        hashes: (P, 16) uint8.
        crowd: what is added: pictures that were not compared with all that share two bytes.
    """
    parts, hashes = hashes.astype(np.int64), np.ascontiguousarray(hashes).view(np.uint64)
    for one in range(parts.shape[1]):
        keys = parts[:, one]
        crowded = np.flatnonzero(_is_crowded(keys))
        alone = np.flatnonzero(~_is_crowded(keys))
        yield from _only_apart(_pair_up(hashes, alone, keys[alone], CROWD), forest)
        for other in range(one + 1, parts.shape[1]) if len(crowded) else ():
            joint = keys[crowded] << 8 | parts[crowded, other]
            still = _is_crowded(joint)
            yield from _only_apart(_pair_up(hashes, crowded[~still], joint[~still], CROWD), forest)
            yield from _only_apart(_pair_up(hashes, crowded[still], joint[still], WINDOW), forest)
            crowd.update(crowded[still].tolist())


def _only_apart(pairs: Iterator[tuple[np.ndarray, np.ndarray]], forest: Forest) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, second in pairs:
        apart = forest.lacks(first, second)
        if apart.any():
            yield first[apart], second[apart]


def _is_crowded(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: more than CROWD have the same key."""
    return np.bincount(keys, minlength=1)[keys] > CROWD


def _pair_up(hashes: np.ndarray, members: np.ndarray, keys: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Close pairs among members with the same key: of each, with the next `most` in the order of the hashes."""
    order = np.lexsort((hashes[members, 1], hashes[members, 0], keys))
    members, keys = members[order], keys[order]
    at = np.arange(len(members))
    for step in range(1, most + 1):
        at = at[: np.searchsorted(at, len(members) - step)]
        at = at[keys[at] == keys[at + step]]
        if not len(at):
            return
        one, other = members[at], members[at + step]
        close = np.bitwise_count(hashes[one] ^ hashes[other]).sum(axis=1) <= FARTHEST
        if close.any():
            yield np.minimum(one, other)[close], np.maximum(one, other)[close]
