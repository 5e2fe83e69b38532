from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from comp.api import FoldsError
from comp.plugins.split._groups import place_groups
from comp.plugins.split.column import column
from comp.plugins.split.group import group
from comp.plugins.split.plain import plain
from comp.plugins.split.stratified import stratified
from comp.plugins.split.time import time


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_stratified_balances_as_scikit_learn_does(make_units, count, long_tail, folds):
    ours = count(long_tail, stratified(make_units(long_tail), folds=folds), folds)
    theirs = np.zeros(len(long_tail), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fold, (_, held_out) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(long_tail, long_tail)):
            theirs[held_out] = fold
    expected = count(long_tail, theirs, folds)
    assert np.array_equal(np.sort(ours, axis=1), np.sort(expected, axis=1))
    assert np.ptp(ours.sum(axis=0)) <= 1


def test_stratified_puts_each_unit_of_a_rare_class_in_its_own_fold(make_units, count, long_tail):
    counts = count(long_tail, stratified(make_units(long_tail), folds=5), 5)
    assert counts[4].tolist().count(1) == 3 and counts[4].max() == 1


def test_stratified_keeps_rare_classes_in_training(make_units, count, long_tail):
    found = stratified(make_units(long_tail), folds=5, rare="train_only")
    assert (found[long_tail >= 4] == -1).all() and (found[long_tail < 4] >= 0).all()
    assert np.ptp(count(long_tail[long_tail < 4], found[long_tail < 4], 5), axis=1).max() <= 1


def test_stratified_seed_decides(make_units, long_tail):
    units = make_units(long_tail)
    first, again, other = stratified(units, seed=1), stratified(units, seed=1), stratified(units, seed=2)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_stratified_works_where_every_class_is_rare(make_units):
    found = stratified(make_units(np.arange(12)), folds=4)
    assert np.bincount(found).tolist() == [3, 3, 3, 3]


def test_stratified_groups_stay_whole_and_classes_balanced(make_units):
    random = np.random.RandomState(0)
    groups = random.randint(0, 120, 1200)
    strata = (random.rand(1200) < 0.3).astype(int)
    found = stratified(make_units(strata, patient=groups), folds=4, group="patient")
    assert pd.Series(found).groupby(groups).nunique().max() == 1
    shares = [strata[found == fold].mean() for fold in range(4)]
    assert np.ptp(shares) < 0.03 and np.ptp(np.bincount(found)) < 60


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("seed", range(12))
def test_groups_go_where_scikit_learn_puts_them(seed):
    """Classes in groups of many sizes, few folds and many; all its ties and roundings among them."""
    random = np.random.RandomState(seed)
    units, folds = random.randint(40, 300), random.randint(2, 10)
    classes = np.minimum(random.geometric((0.5, 0.1)[seed % 2], units), 25)
    groups = np.unique(random.randint(0, random.randint(12, units), units), return_inverse=True)[1]
    renamed = np.random.RandomState(7).permutation(groups.max() + 1)[groups]
    wanted = np.empty(units, dtype=np.int64)
    for fold, (_, held_out) in enumerate(StratifiedGroupKFold(folds).split(classes, classes, renamed)):
        wanted[held_out] = fold
    assert np.array_equal(place_groups(classes, groups, folds, 7), wanted)


def test_stratified_groups_where_every_class_is_rare(make_units):
    found = stratified(make_units(np.arange(40), patient=np.arange(40) // 2), folds=5, group="patient")
    assert pd.Series(found).groupby(np.arange(40) // 2).nunique().max() == 1
    assert set(found) == {0, 1, 2, 3, 4}


def test_stratified_train_only_never_divides_a_group(make_units):
    # Class 1 stands in a single group, beside class 0: were its unit alone kept in training, the group would stand on both sides.
    strata = np.array([0] * 8 + [1])
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
    found = stratified(make_units(strata, patient=groups), folds=2, group="patient", rare="train_only")
    assert pd.Series(found).groupby(groups).nunique().max() == 1 and (found >= 0).all()


def test_stratified_train_only_keeps_wholly_rare_groups_in_training(make_units):
    strata = np.array([0] * 8 + [1])
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    found = stratified(make_units(strata, patient=groups), folds=2, group="patient", rare="train_only")
    assert found[8] == -1 and (found[:8] >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 5}, "there are 4 units"),
        ({"folds": 3, "group": "patient"}, r"there are 2 groups \(patient\)"),
        ({"folds": 2, "group": "pateint"}, "no column 'pateint'; the training table has id, patient"),
        ({"folds": 3, "rare": "train_only"}, "there are 0 units that may be held out"),
    ],
)
def test_stratified_says_what_it_lacks(make_units, arguments, message):
    with pytest.raises(FoldsError, match=message):
        stratified(make_units([0, 0, 1, 1], patient=["a", "a", "b", "b"]), **arguments)


def test_plain_deals_evenly_and_repeats_itself(make_units):
    units = make_units([0] * 23)
    found = plain(units, folds=5, seed=7)
    assert sorted(np.bincount(found).tolist()) == [4, 4, 5, 5, 5]
    assert np.array_equal(found, plain(units, folds=5, seed=7))
    with pytest.raises(FoldsError, match="there are 23 units"):
        plain(units, folds=24)


def test_group_sizes_are_those_of_scikit_learn(make_units):
    groups = np.repeat(np.arange(30), np.random.RandomState(1).randint(1, 40, 30))
    found = group(make_units(np.zeros(len(groups)), place=groups), group="place", folds=4)
    theirs = [len(held_out) for _, held_out in GroupKFold(4).split(groups, groups=groups)]
    assert sorted(np.bincount(found).tolist()) == sorted(theirs)
    assert pd.Series(found).groupby(groups).nunique().max() == 1


def test_group_wants_as_many_groups_as_folds(make_units):
    with pytest.raises(FoldsError, match="'place' has 2 groups"):
        group(make_units([0] * 10, place=["a"] * 9 + ["b"]), group="place", folds=3)


def test_column_reads_fold_numbers(make_units):
    assert column(make_units([0] * 4, fold=[0, 1, -1, 1])).tolist() == [0, 1, -1, 1]


def test_column_holds_out_names(make_units):
    units = make_units([0] * 4, part=["train", "valid", "extra", "valid"])
    assert column(units, column="part", held_out=["valid", "extra"]).tolist() == [-1, 0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"column": "part"}, "of u0 is 'train', not a fold number"),
        ({"column": "parts"}, "no column 'parts'"),
        ({"column": "part", "held_out": ["valdi"]}, r"\['valdi'\]; 'part' has train, valid"),
    ],
)
def test_column_says_what_is_wrong(make_units, arguments, message):
    with pytest.raises(FoldsError, match=message):
        column(make_units([0] * 2, part=["train", "valid"]), **arguments)


def test_time_holds_out_what_came_later(make_units):
    units = make_units([0] * 4, day=["2020-12-31", "2021-06-30", "2021-06-29T23:59:59", "2021-07-01"])
    assert time(units, column="day", cut="2021-06-30").tolist() == [-1, 0, -1, 0]


def test_time_compares_numbers_as_numbers(make_units):
    assert time(make_units([0] * 3, week=["9", "10", "11"]), column="week", cut=10).tolist() == [-1, 0, 0]


@pytest.mark.parametrize(
    ("cut", "message"),
    [("2031-01-01", "0 of 2 units are from"), ("soon", "'soon' is neither"), (3, "'day' of u0 is '2021-01-01', which cannot")],
)
def test_time_says_what_is_wrong(make_units, cut, message):
    with pytest.raises(FoldsError, match=message):
        time(make_units([0] * 2, day=["2021-01-01", "2021-01-02"]), column="day", cut=cut)


def test_stratified_by_other_columns_than_the_classes(make_units):
    """Sixty people with four pictures, each of another class: over people, gender x age is balanced, and nobody is divided."""
    random = np.random.RandomState(1)
    gender, band = random.randint(0, 2, 60), random.choice(3, 60, p=[0.5, 0.4, 0.1])
    people = np.repeat(np.arange(60), 4)
    units = make_units(np.tile(np.arange(4), 60), gender=gender[people], band=band[people], person=people)
    folds = stratified(units, folds=3, group="person", by=["gender", "band"])
    of_person = folds.reshape(60, 4)
    assert (of_person == of_person[:, :1]).all()
    kinds = gender * 3 + band
    for kind in np.unique(kinds):
        held = np.bincount(of_person[kinds == kind, 0], minlength=3)
        assert held.max() - held.min() <= 2
    deal = stratified(units, folds=3, by=["gender"])
    counts = np.zeros((2, 3), dtype=int)
    np.add.at(counts, (gender[people], deal), 1)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()


@pytest.mark.parametrize(("by", "said"), [(["gender"], "no column 'gender'; the training table has id"), ([], "names no column")])
def test_stratified_by_what_is_no_column(make_units, by, said):
    with pytest.raises(FoldsError, match=f"split.by: .*{said}"):
        stratified(make_units([0, 1] * 5), folds=2, by=by)
