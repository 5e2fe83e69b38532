from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import StratifiedGroupKFold

from comp.api import FoldsError
from comp.plugins.split.multilabel import multilabel


def test_multilabel_spreads_each_label_and_repeats_itself(make_units):
    random = np.random.RandomState(0)
    labels = random.rand(400, 6) < [0.5, 0.3, 0.1, 0.05, 0.03, 0.0125]
    units = make_units(np.zeros(400), labels)
    found = multilabel(units, folds=5, seed=3)
    for label in labels.T:
        held_out = np.bincount(found[label], minlength=5)
        assert abs(held_out - label.sum() / 5).max() <= 2
    assert np.ptp(np.bincount(found)) <= 4
    np.random.seed(0)
    assert np.array_equal(found, multilabel(units, folds=5, seed=3))
    assert not np.array_equal(found, multilabel(units, folds=5, seed=4))


def test_multilabel_takes_a_single_label(make_units):
    flags = np.array([1] * 10 + [0] * 40)[:, None]
    found = multilabel(make_units(np.zeros(50), flags), folds=5)
    assert np.bincount(found[:10]).tolist() == [2] * 5 and np.bincount(found).tolist() == [10] * 5


@pytest.mark.parametrize("seed", range(8))
def test_multilabel_is_the_librarys_result(make_units, seed):
    """Few labels and many, rare and common, units without any, one label alone."""
    random = np.random.RandomState(seed)
    rows, width, folds = random.randint(20, 250), (1, 2, 4, 30)[seed % 4], random.randint(2, 8)
    labels = random.rand(rows, width) < random.choice([0.5, 0.2, 0.05, 0.02], width)
    labels[0] = True
    found = multilabel(make_units(np.zeros(rows), labels), folds=folds, seed=seed)
    given = np.hstack([labels, ~labels]) if width == 1 else labels
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(rows), given)):
        assert np.flatnonzero(found == fold).tolist() == held_out.tolist()


def test_multilabel_groups_by_hand(make_units):
    # The rare label y is in groups b and d: b goes first (more rows), d where no y is; x then evens out.
    groups = list("aabbbccd")
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1]])
    found = multilabel(make_units(np.zeros(8), labels, patient=groups), folds=2, group="patient")
    fold = dict(zip(groups, found))
    assert fold["b"] != fold["d"] and np.bincount(found).tolist() in ([3, 5], [5, 3], [4, 4])
    assert sorted(np.bincount(found[labels[:, 0] > 0], minlength=2).tolist()) == [2, 3]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_multilabel_groups_stay_whole_and_labels_have_their_share(make_units, seed):
    random = np.random.RandomState(seed)
    groups = random.randint(0, 150, 900)
    labels = random.rand(900, 5) < [0.5, 0.3, 0.1, 0.05, 0.02]
    found = multilabel(make_units(np.zeros(900), labels, patient=groups), folds=5, group="patient", seed=seed)
    assert pd.Series(found).groupby(groups).nunique().max() == 1
    assert np.ptp(np.bincount(found)) <= 45
    for label in labels.T:
        assert abs(np.bincount(found[label], minlength=5) - label.sum() / 5).max() <= 0.1 * label.sum() / 5 + 1.5
    assert np.array_equal(found, multilabel(make_units(np.zeros(900), labels, patient=groups), group="patient", seed=seed))


def test_multilabel_groups_are_as_even_as_scikit_learns_where_labels_are_classes(make_units, count):
    random = np.random.RandomState(4)
    groups, classes = random.randint(0, 100, 800), random.choice(4, 800, p=[0.6, 0.25, 0.1, 0.05])
    ours = multilabel(make_units(classes, np.eye(4)[classes], patient=groups), folds=4, group="patient")
    theirs = np.zeros(800, dtype=int)
    for fold, (_, held_out) in enumerate(StratifiedGroupKFold(4).split(classes, classes, groups)):
        theirs[held_out] = fold
    spread = [np.ptp(count(classes, folds, 4) / np.bincount(classes)[:, None], axis=1).max() for folds in (ours, theirs)]
    assert spread[0] <= spread[1] + 0.02


def test_multilabel_says_what_it_lacks(make_units):
    units = make_units([0] * 4, np.eye(4), patient=list("aabb"))
    with pytest.raises(FoldsError, match=r"there are 2 groups \(patient\)"):
        multilabel(units, folds=3, group="patient")
    with pytest.raises(FoldsError, match="split.group: no column 'pateint'"):
        multilabel(units, folds=2, group="pateint")


def test_multilabel_refuses_numbers(make_units):
    with pytest.raises(FoldsError, match="the targets are numbers"):
        multilabel(make_units([0] * 10), folds=2)
