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
