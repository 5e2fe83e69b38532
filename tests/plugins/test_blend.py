"""Blends against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from comp.api import PluginError, Target, Task
from comp.plugins.blend.mean import mean

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))
MEMBERS = {"exp001": np.array([[0.2, 0.8]]), "exp002": np.array([[0.6, 0.4]])}


def test_mean_counts_all_alike():
    blend = mean(TASK)
    blend.fit(MEMBERS, {"label": np.array([0])})
    np.testing.assert_allclose(blend.predict(MEMBERS), [[0.4, 0.6]])


def test_mean_divides_weights_by_their_sum():
    np.testing.assert_allclose(mean(TASK, weights={"exp001": 3, "exp002": 1}).predict(MEMBERS), [[0.3, 0.7]])
    np.testing.assert_allclose(mean(TASK, weights={"exp001": 0, "exp002": 2}).predict(MEMBERS), [[0.6, 0.4]])


@pytest.mark.parametrize("weights", [{"exp001": -1, "exp002": 2}, {"exp001": 0, "exp002": 0}, {}])
def test_mean_refuses_weights_that_make_no_mean(weights):
    with pytest.raises(PluginError, match="0 or more"):
        mean(TASK, weights=weights)


def test_mean_refuses_weights_of_other_members():
    with pytest.raises(PluginError, match="weights are of exp009; the members are exp001, exp002"):
        mean(TASK, weights={"exp009": 1}).predict(MEMBERS)
