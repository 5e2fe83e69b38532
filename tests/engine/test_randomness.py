"""Keys to generators and seeds."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from comp.engine.randomness import derive_seed, hash_key, make_generator, row_key, row_keys


def test_equal_keys_draw_equally_and_others_do_not() -> None:
    keys = ((1, 2), (2, 1), (12,), ("1", 2), (1, "2"), (1, 2, 0))
    draws = {key: tuple(make_generator(*key).integers(0, 2**60, 4)) for key in keys}
    assert len(set(draws.values())) == len(draws)
    assert tuple(make_generator(1, 2).integers(0, 2**60, 4)) == draws[1, 2]


def test_a_numpy_number_is_the_number() -> None:
    assert hash_key(np.int64(7), "a") == hash_key(7, "a")
    with pytest.raises(TypeError):
        hash_key(None)  # type: ignore[arg-type]


def test_a_seed_has_63_bits_and_is_the_same_in_every_process() -> None:
    seeds = [derive_seed(42, "fold", number) for number in range(200)]
    assert len(set(seeds)) == 200 and all(0 <= seed < 2**63 for seed in seeds) and max(seeds) > 2**62
    code = "from comp.engine.randomness import derive_seed; print(derive_seed(42, 'fold', 3))"
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) == seeds[3]


def test_a_row_key_is_the_blake2_hash_of_its_id() -> None:
    wanted = int.from_bytes(hashlib.blake2b(b"007.jpg", digest_size=8).digest(), "little")
    assert row_key("007.jpg") == wanted
    assert row_keys(["7.jpg", "007.jpg"]).dtype == np.uint64 and int(row_keys(["7.jpg", "007.jpg"])[1]) == wanted


def test_draws_are_uniform() -> None:
    means = [make_generator(0, "order", epoch).random(100).mean() for epoch in range(100)]
    assert abs(np.mean(means) - 0.5) < 0.015  # 10,000 draws: five standard errors
