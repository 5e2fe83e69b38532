"""Randomness: generators and seeds that come from a key such as (seed, fold, stage, epoch, row id) and from nothing else.

No state is kept, so a draw is the same in whatever process, worker or order it is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import numpy as np

Part = int | str


def hash_key(*parts: Part) -> bytes:
    """16 bytes for a key; (1, "2") and ("1", 2) and ("12",) are different keys."""
    plain = [part if isinstance(part, str) else int(part) for part in parts]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=16).digest()


def make_generator(*parts: Part) -> np.random.Generator:
    """A generator of its own for a key: Philox (Salmon et al. 2011), whose streams differ where the key differs."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(hash_key(*parts), "little")))


def derive_seed(*parts: Part) -> int:
    """A seed in [0, 2**63) for a key, for what takes only a number (torch.manual_seed)."""
    return int.from_bytes(hash_key(*parts)[:8], "little") >> 1


def row_key(row_id: str) -> int:
    """A number in [0, 2**64) that stands for a row wherever the table has it."""
    return int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest(), "little")


def row_keys(row_ids: Iterable[str]) -> np.ndarray:
    """(N,) uint64."""
    return np.fromiter((row_key(row_id) for row_id in row_ids), np.uint64)


ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def draw_uniforms(epoch_key: int, keys: np.ndarray, repeats: np.ndarray, count: int) -> np.ndarray:
    """(B, count) float64 in (0, 1), row by row from (epoch key, row key, n-th time in the epoch), in whatever batch a row is.

    Philox4x32-10 (Salmon et al. 2011), all rows at once: a generator that is re-keyed for each row takes 10 us of each.

    Args:
        keys: (B,) uint64 (row_keys).
        repeats: (B,) int64 below 2**32.
    """
    blocks = -(-count // 4)
    counter = np.empty((4, len(keys), blocks), np.uint64)
    counter[0], counter[1] = (keys & LOW)[:, None], (keys >> HALF)[:, None]
    counter[2], counter[3] = repeats.astype(np.uint64)[:, None], np.arange(blocks, dtype=np.uint64)
    words = mix_words(counter, epoch_key & 0xFFFFFFFF, epoch_key >> 32)
    return (np.moveaxis(words, 0, -1).reshape(len(keys), -1)[:, :count] + 0.5) / 2**32


def mix_words(counter: np.ndarray, key: int, other: int) -> np.ndarray:
    """Philox4x32-10 of counters (4, ...) uint64 that hold 32 bits each, under a key of two such words."""
    first, second, third, fourth = counter
    keys = [np.uint64(key), np.uint64(other)]
    for _ in range(ROUNDS):
        left, right = MULTIPLIERS[0] * first, MULTIPLIERS[1] * third
        first, second = (right >> HALF) ^ second ^ keys[0], right & LOW
        third, fourth = (left >> HALF) ^ fourth ^ keys[1], left & LOW
        keys = [(key + step) & LOW for key, step in zip(keys, WEYL, strict=True)]
    return np.stack([first, second, third, fourth])
