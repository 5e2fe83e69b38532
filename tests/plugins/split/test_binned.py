from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from comp.api import FoldsError
from comp.plugins.split.binned import binned


def test_binned_by_hand(make_units):
    # Four bins of two: 1 2 | 3 4 | 5 6 | 7 8; of each bin one unit is in each of two folds.
    found = binned(make_units([0] * 8, values=[8, 1, 7, 2, 6, 3, 5, 4]), bins=4, folds=2)
    for pair in ([1, 3], [5, 7], [6, 4], [2, 0]):
        assert sorted(found[pair]) == [0, 1]


def test_binned_is_scikit_learns_result_on_pandas_quantiles(make_units, count):
    values = np.random.RandomState(0).lognormal(size=203)
    found = binned(make_units([0] * 203, age=values), column="age", bins=8, folds=5, seed=0)
    codes = pd.qcut(values, 8, labels=False)
    for fold, (_, held_out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(codes, codes)):
        assert np.flatnonzero(found == fold).tolist() == held_out.tolist()
    assert np.ptp(count(codes, found, 5), axis=1).max() <= 1
    assert not np.array_equal(found, binned(make_units([0] * 203, age=values), column="age", bins=8, folds=5, seed=1))


def test_binned_groups_stay_whole_and_means_are_close(make_units):
    random = np.random.RandomState(0)
    groups, values = random.randint(0, 120, 1200), random.normal(size=1200)
    found = binned(make_units([0] * 1200, values=values, patient=groups), group="patient", folds=4)
    assert pd.Series(found).groupby(groups).nunique().max() == 1
    assert np.ptp([values[found == fold].mean() for fold in range(4)]) < 0.15 and np.ptp(np.bincount(found)) < 60


def test_binned_never_divides_equal_values_into_bins(make_units):
    found = binned(make_units([0] * 40, values=[0] * 30 + list(range(1, 11))), bins=4, folds=5)
    assert np.bincount(found[:30]).tolist() == [6] * 5 and np.bincount(found).tolist() == [8] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bins": 1}, "split.bins is 1"),
        ({"bins": 3}, "6 units in 3 folds fill 2 at most"),
        ({"column": "age"}, "'age' of u1 is 'x', not a number .1 such units."),
        ({"column": "agee"}, "no column 'agee'"),
        ({"group": "pateint"}, "no column 'pateint'"),
        ({"column": None}, "0 targets are numbers; name the column"),
        ({"column": "day", "folds": 7}, "there are 6 units"),
        ({"column": "day", "group": "patient"}, r"there are 2 groups \(patient\)"),
    ],
)
def test_binned_says_what_is_wrong(make_units, arguments, message):
    units = make_units([0] * 6, age=["1", "x", "3", "4", "5", "6"], day=range(6), patient=list("aaabbb"))
    with pytest.raises(FoldsError, match=message):
        binned(units, **{"column": "day", "bins": 2, "folds": 3, **arguments})
