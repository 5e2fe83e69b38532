from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import FoldsError
from comp.plugins.split.holdout import holdout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_holdout_keeps_the_share_of_every_class(make_units, long_tail, share, seed):
    found = holdout(make_units(long_tail), share=share, seed=seed)
    assert set(found) == {0, -1} and abs((found == 0).sum() - share * len(found)) <= 1
    sizes = np.bincount(long_tail)
    assert (abs(np.bincount(long_tail[found == 0], minlength=len(sizes)) - share * sizes) <= 1).all()


def test_holdout_by_hand(make_units):
    # A fifth of five units of each of two classes: one of each.
    found = holdout(make_units([0, 1] * 5), share=0.2, seed=0)
    assert sorted(np.flatnonzero(found == 0) % 2) == [0, 1]


def test_holdout_seed_decides(make_units, long_tail):
    first, again, other = (holdout(make_units(long_tail), seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_holdout_groups_stay_whole(make_units):
    random = np.random.RandomState(0)
    groups, strata = random.randint(0, 120, 1200), random.randint(0, 2, 1200)
    found = holdout(make_units(strata, patient=groups), share=0.25, group="patient")
    assert pd.Series(found).groupby(groups).nunique().max() == 1
    assert abs((found == 0).sum() - 300) <= np.bincount(groups).max() / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 1.0}, "split.share is 1.0"),
        ({"share": 0.01}, "0.01 of 4 units .4 parts that cannot be divided. is none"),
        ({"group": "pateint"}, "no column 'pateint'"),
    ],
)
def test_holdout_says_what_is_wrong(make_units, arguments, message):
    with pytest.raises(FoldsError, match=message):
        holdout(make_units([0] * 4), **arguments)
