"""Lookalikes: the hash by hand, the pairs against comparing everything with everything."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

from comp.lookalikes import confirm_pairs, find_lookalikes, hash_picture, hash_pictures


def test_the_hash_says_whether_pixels_are_brighter_than_their_right_neighbours() -> None:
    rising = np.tile(np.arange(9, dtype=np.uint8) * 10, (8, 1))[:, :, None]
    assert hash_picture(rising) == 0 and hash_picture(rising[:, ::-1]) == 2**64 - 1
    rising[0, 0] = 255  # the first comparison is the first bit
    assert hash_picture(rising) == 2**63


def test_the_same_picture_in_other_files() -> None:
    ours = load_sample_images().images
    theirs = [cv2.resize(image, (300, 200)) for image in reversed(ours)]
    theirs = [cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR) for image in theirs]
    mine, yours = find_lookalikes(hash_pictures(ours), hash_pictures(theirs))
    assert sorted(zip(mine.tolist(), yours.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_pairs_are_those_of_comparing_all() -> None:
    random = np.random.default_rng(0)
    ours, theirs = (random.integers(0, 2**63, size, dtype=np.uint64) for size in (3000, 700))
    for at in range(120):
        theirs[at] = ours[at // 2]
        for bit in random.choice(64, at % 7, replace=False):
            theirs[at] ^= np.uint64(1) << np.uint64(bit)
    ours[50] = ours[51]  # the same hash twice
    wanted = np.argwhere(np.bitwise_count(ours[:, None] ^ theirs[None, :]) <= 4)
    found = np.stack(find_lookalikes(ours, theirs), axis=1)
    assert len(found) > 80 and {*map(tuple, found.tolist())} == {*map(tuple, wanted.tolist())} and len(found) == len(wanted)


def test_one_bucket_of_many_is_taken_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr("comp.lookalikes._CHUNK", 100)
    ours = np.arange(64, dtype=np.uint64) << np.uint64(30)  # alike in all other parts
    mine, yours = find_lookalikes(ours, ours, distance=0)
    assert mine.tolist() == yours.tolist() == list(range(64))


def test_nothing() -> None:
    none = np.empty(0, np.uint64)
    assert [len(part) for part in find_lookalikes(none, np.arange(3, dtype=np.uint64))] == [0, 0]


def test_pairs_are_confirmed_by_their_pixels() -> None:
    """A brighter copy is the same picture, another digit with the same strokes is not; of flat pictures any two are the same."""
    random = np.random.default_rng(0)
    image = random.integers(0, 150, (20, 20, 3), dtype=np.uint8)
    ours = [image, np.full((20, 20, 3), 7, np.uint8)]
    theirs = [image + 50, random.integers(0, 150, (20, 20, 3), dtype=np.uint8), np.full((20, 20, 3), 9, np.uint8)]
    mine, yours = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 2, 1, 0])
    found = confirm_pairs(mine, yours, lambda at: [ours[one] for one in at], lambda at: [theirs[one] for one in at])
    assert found.tolist() == [True, False, True, False, True]
    nothing = np.empty(0, np.int64)
    assert len(confirm_pairs(nothing, nothing, lambda at: [], lambda at: [])) == 0
