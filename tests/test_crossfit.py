"""Every row is held out once, and no rule sees what it is scored on."""

from __future__ import annotations

import numpy as np

from comp.crossfit import PARTS, choose_sample, split_rows

IDS = np.array([f"unit{number}" for number in range(100)], dtype=object)


def test_each_fold_is_held_out_once_against_the_others():
    fold = np.arange(100) % 4
    parts = list(split_rows(IDS, fold))
    assert len(parts) == 4
    for fitted, held_out in parts:
        assert not (fitted & held_out).any() and (fitted | held_out).all() and len(set(fold[held_out])) == 1
    assert np.sum([held_out for _, held_out in parts], axis=0).tolist() == [1] * 100


def test_a_single_fold_is_divided_whatever_its_order():
    parts = list(split_rows(IDS, np.zeros(100, dtype=np.int64)))
    assert len(parts) == PARTS and all(10 <= held_out.sum() <= 35 for _, held_out in parts)
    assert all(not (fitted & held_out).any() for fitted, held_out in parts)
    turned = list(split_rows(IDS[::-1], np.zeros(100, dtype=np.int64)))
    assert all((one[1] == other[1][::-1]).all() for one, other in zip(parts, turned))


def test_one_row_alone_is_fitted_on_itself():
    [(fitted, held_out)] = split_rows(IDS[:1], np.zeros(1, dtype=np.int64))
    assert fitted.tolist() == held_out.tolist() == [True]


def test_a_sample_is_the_same_whatever_the_order():
    assert choose_sample(IDS, 100).all() and choose_sample(IDS, 1000).all()
    chosen = choose_sample(IDS, 30)
    assert chosen.sum() == 30 and (choose_sample(IDS[::-1], 30)[::-1] == chosen).all()
