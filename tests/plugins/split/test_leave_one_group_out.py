from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut

from comp.api import FoldsError
from comp.plugins.split.leave_one_group_out import leave_one_group_out


def test_leave_one_group_out_is_scikit_learns(make_units):
    groups = np.random.RandomState(0).choice(list("dacb"), 50)
    found = leave_one_group_out(make_units([0] * 50, site=groups), group="site")
    for fold, (_, held_out) in enumerate(LeaveOneGroupOut().split(groups, groups=groups)):
        assert np.flatnonzero(found == fold).tolist() == held_out.tolist()


def test_leave_one_group_out_orders_numbers_as_numbers(make_units):
    assert leave_one_group_out(make_units([0] * 4, site=["10", "9", "2", "9"]), group="site").tolist() == [2, 1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"), [({"group": "sit"}, "no column 'sit'"), ({"group": "site", "most": 2}, "has 3 groups, each of")]
)
def test_leave_one_group_out_says_what_is_wrong(make_units, arguments, message):
    with pytest.raises(FoldsError, match=message):
        leave_one_group_out(make_units([0] * 4, site=["10", "9", "2", "9"]), **arguments)
