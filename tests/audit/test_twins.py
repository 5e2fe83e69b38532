"""Twins: planted copies are found and nothing else is; what is close against comparing all with all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from comp.audit import twins
from comp.audit.forest import Forest
from comp.audit.traits import Traits, read_traits
from comp.audit.twins import FARTHEST, Judge, find_twins, settle_likeness
from comp.lookalikes import make_thumb, normalise_thumbs


def look_at(pictures: list[np.ndarray]) -> Traits:
    return read_traits([str(place) for place in range(len(pictures))], Path(), lambda ref: pictures[int(ref)])


def pairs_of(found) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)}


def test_copies_are_found_and_nothing_else(draw, copy_badly) -> None:
    pictures = [draw(number) for number in range(150)]
    pictures += [copy_badly(pictures[number]) for number in range(20)]
    pictures += [
        pictures[140].copy(),
        pictures[140].copy(),
        np.full((30, 30, 3), 77, np.uint8),
        np.full((9, 9, 3), 200, np.uint8),
    ]
    found = find_twins(look_at(pictures), 150)
    assert pairs_of(found) == {*((number, 150 + number) for number in range(20)), (140, 170), (140, 171)}
    alike = dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.likeness.tolist(), strict=True))
    assert alike[140, 170] == 1 and all(0.96 <= value < 1 for pair, value in alike.items() if pair[0] < 20)
    assert found.flat.tolist() == [172, 173] and found.crowded == 0


def test_few_pictures_are_compared_without_knowing_what_all_have_in_common(draw, copy_badly) -> None:
    pictures = [draw(1), draw(2), copy_badly(draw(1))]
    assert pairs_of(find_twins(look_at(pictures), 3)) == {(0, 2)}
    assert pairs_of(find_twins(look_at([]), 0)) == pairs_of(find_twins(look_at([draw(1)]), 1)) == set()


def test_what_cannot_be_read_is_nobodys_twin(draw) -> None:
    traits = look_at([draw(1), draw(1)[:, :, 0].astype(float), draw(1)])
    assert list(traits.bad) == [1] and "uint8" in traits.bad[1]
    assert pairs_of(find_twins(traits, 3)) == {(0, 2)}


def test_digits_are_alike_without_being_the_same() -> None:
    """Of 1,797 digits 1,207 pairs correlate by 0.95 or more, and no two are a copy."""
    images = np.rint(load_digits().images * 15.9).astype(np.uint8)
    thumbs = np.stack([make_thumb(image[:, :, None]) for image in images])
    whole = normalise_thumbs(thumbs)
    assert ((whole @ whole.T)[np.triu_indices(len(whole), 1)] >= 0.95).sum() > 1000
    assert Judge.of(thumbs).demanded > 0.98
    assert pairs_of(find_twins(look_at([image[:, :, None] for image in images]), len(images))) == set()


def draw_hashes(count: int) -> np.ndarray:
    """(count, 16) uint8, the first 300 of them others with 0 to 19 bits changed."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (count, 128), dtype=np.uint8)
    for place in range(300):
        bits[place] = bits[300 + place // 2]
        bits[place, random.choice(128, place % 20, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def list_close(hashes: np.ndarray, crowd: set[int]) -> set[tuple[int, int]]:
    """Where nothing is joined yet."""
    found = twins._list_close(hashes, crowd, Forest(len(hashes), 0))
    return {pair for first, second in found for pair in zip(first.tolist(), second.tolist(), strict=True)}


@pytest.mark.parametrize("most", [1000, 4])
def test_close_pairs_are_those_of_comparing_all(monkeypatch, most) -> None:
    """The same where any five that share a byte are too many: two bytes are the same, too."""
    monkeypatch.setattr(twins, "CROWD", most)
    hashes, crowd = draw_hashes(1000), set()
    apart = np.unpackbits(hashes[:, None] ^ hashes[None], axis=2).sum(axis=2)
    wanted = {tuple(pair) for pair in np.argwhere(np.triu(apart <= FARTHEST, 1)).tolist()}
    assert len(wanted) > 200 and list_close(hashes, crowd) == wanted and not crowd


def test_a_crowd_is_compared_with_its_neighbours_and_counted(monkeypatch) -> None:
    monkeypatch.setattr(twins, "CROWD", 10)
    monkeypatch.setattr(twins, "WINDOW", 2)
    crowd: set[int] = set()
    found = list_close(np.zeros((100, 16), np.uint8), crowd)
    assert crowd == set(range(100)) and len(found) == 99 + 98


def test_frames_of_films_are_joined_by_as_few_pairs_as_can_be(draw, monkeypatch) -> None:
    """Of 3 x 150 frames every two of one film are twins, 33,525 pairs: 3 x 149 join them, and no two films."""
    monkeypatch.setattr(twins, "WINDOW", 8)
    films = np.stack([make_thumb(draw(number)) for number in range(3)]).astype(np.int64)
    noise = np.random.default_rng(0).integers(-2, 3, (450, 256))
    thumbs = np.clip(np.repeat(films, 150, axis=0) + noise, 0, 255).astype(np.uint8)
    blank = np.zeros((450, 0))
    found = find_twins(Traits(("",) * 450, np.arange(450, dtype=np.uint64), thumbs, *[blank] * 4, {}), 450)
    assert len(found.first) == 3 * 149 and (found.first // 150 == found.second // 150).all()
    roots = np.arange(450)
    for one, other in sorted(pairs_of(found)):
        roots[roots == roots[other]] = roots[one]
    assert len(np.unique(roots)) == 3


def test_a_forest_keeps_pairs_of_training_pictures_that_a_test_picture_joins() -> None:
    """0 and 1 are of the training set, 2 and 3 are not."""
    forest = Forest(4, 2)
    forest.join(np.array([0, 1]), np.array([2, 2]))
    one, other = np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3])
    assert forest.lacks(one, other).tolist() == [True, False, True, True]
    forest.join(one, other)
    assert forest.pairs == [(0, 2), (1, 2), (0, 1), (1, 3)] and not forest.lacks(one, other).any()


def test_likeness_is_the_correlation_of_thumbnails(draw) -> None:
    thumbs = np.stack([make_thumb(draw(number)) for number in range(60)])
    judge = Judge.of(thumbs)
    first, second = np.array([0, 3, 5]), np.array([1, 9, 5])
    wanted = [np.corrcoef(thumbs[one], thumbs[other])[0, 1] for one, other in zip(first, second, strict=True)]
    assert judge.compare(first, second) == pytest.approx(wanted, abs=1e-4)


def test_the_demanded_likeness_is_what_half_a_pair_has_by_chance() -> None:
    """Thumbnails of 256 independent pixels correlate by z of standard deviation 1/16: even of a million none by 0.5."""
    random = np.random.default_rng(0)
    noise = normalise_thumbs(random.normal(size=(800, 256)).astype(np.float32))
    assert settle_likeness(noise, 10**6) == 0.9
    # In 10 dimensions z has a standard deviation of about 1/sqrt(8): half a pair of 20,000 lies beyond 5.85 of these.
    few = random.normal(size=(800, 10)) @ np.linalg.qr(random.normal(size=(256, 10)))[0].T
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    assert settle_likeness(few.astype(np.float32), 20_000) == pytest.approx(np.tanh(5.85 / 8**0.5), abs=0.01)
