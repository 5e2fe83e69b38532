"""Folds are asked for once: repeats, and units that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.api import Units
from comp.assigning import add_units, find_balanced, keep_numbers, place_units
from comp.catalog import build_catalog
from comp.competition import open_competition
from comp.errors import FoldsError
from comp.folds import Folds, open_folds
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project
from comp.units import make_units

COMPETITION = "dataset: {use: csv, images: '.', image: file, target: y}\nmetric: {use: accuracy}\n"


def write_rows(root: Path, labels: str, **columns: list) -> None:
    """A training table of one row per letter of `labels`; every row shows the same image."""
    table = pd.DataFrame({"id": [f"u{i:03d}" for i in range(len(labels))], "y": list(labels), **columns, "file": "x.png"})
    table.to_csv(root / "train.csv", index=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    write_rows(tmp_path, "aab" * 10)
    project = Project(tmp_path)
    create_experiment(project, "one")
    return project


def open_all(project: Project, *sets: str):
    manifest = load_manifest(project, "one", sets)
    competition = open_competition(project, manifest)
    return competition, open_folds(project, manifest, competition)


def folds_of(project: Project, *sets: str) -> Folds:
    return open_all(project, *sets)[1]


# ---- repeats -------------------------------------------------------------------------------------------------------------


def test_repeats_are_the_folds_of_the_next_seeds(project):
    found = folds_of(project, "split.folds=3", "split.repeats=2", "split.seed=0")
    assert (found.count, found.repeats, found.per_repeat) == (6, 2, 3)
    ids = pd.read_csv(project.root / "train.csv", dtype=str)["id"]
    for repeat, fold in enumerate(found.of_all(ids)):
        alone = folds_of(project, "split.folds=3", f"split.seed={repeat}").of(ids)
        assert np.array_equal(fold, alone + 3 * repeat)
    stored = pd.read_csv(found.path)
    assert list(stored) == ["id", "fold", "repeat"] and len(stored) == 60 and found.path.name != "default.csv"
    assert folds_of(project, "split.folds=3", "split.repeats=2", "split.seed=0").sha256 == found.sha256


def test_a_row_is_held_out_once_in_each_repeat(project):
    competition, folds = open_all(project, "split.folds=3", "split.repeats=2")
    table = competition.tables.train
    held_out = [folds.held_out_rows(table, fold) for fold in range(6)]
    for rows in (held_out[:3], held_out[3:]):
        assert sorted(np.concatenate(rows)) == list(range(30))
    for fold, rows in enumerate(held_out):
        assert sorted([*rows, *folds.training_rows(table, fold)]) == list(range(30))


def test_new_rows_join_every_repeat_without_moving_old_ones(project):
    sets = ("split={use: stratified, folds: 3, repeats: 2, group: patient}",)
    write_rows(project.root, "aab" * 10, patient=[f"p{i // 3}" for i in range(30)])
    made = folds_of(project, *sets)
    write_rows(project.root, "aab" * 10 + "ab", patient=[*(f"p{i // 3}" for i in range(30)), "p4", "new"])
    found = folds_of(project, *sets)
    ids = [f"u{i:03d}" for i in range(30)]
    assert np.array_equal(found.of_all(ids), made.of_all(ids)) and found.count == 6
    assert np.array_equal(found.of_all(["u030"]), found.of_all(["u012"]))
    assert [fold // 3 for fold in found.of_all(["u031"])[:, 0]] == [0, 1]
    assert list(pd.read_csv(found.path)) == ["id", "fold", "repeat"]


def test_one_repeat_is_no_other_split(project):
    assert folds_of(project, "split.repeats=1").path == folds_of(project).path
    assert list(pd.read_csv(folds_of(project).path)) == ["id", "fold"]


def test_repeats_want_a_seed_and_are_read_whole(project):
    write_rows(project.root, "ab" * 3, fold=[0, 1, 0, 1, 0, 1])
    with pytest.raises(FoldsError, match="split.repeats is 2, but 'column' has no seed"):
        folds_of(project, "split={use: column, repeats: 2}")
    made = folds_of(project, "split.folds=2", "split.repeats=2")
    made.path.write_text(made.path.read_text().rpartition("\nu005")[0] + "\n")
    with pytest.raises(FoldsError, match="restore it, or remove it"):
        folds_of(project, "split.folds=2", "split.repeats=2")


# ---- new rows of further splits ------------------------------------------------------------------------------------------


def test_a_new_row_of_a_hold_out_is_held_out_by_its_share(project):
    write_rows(project.root, "a" * 20 + "b" * 8)
    made = folds_of(project, "split={use: holdout, share: 0.25}")
    assert (made.table["fold"] == 0).sum() == 7 and made.count == 1
    write_rows(project.root, "a" * 20 + "b" * 8 + "a" * 20 + "b" * 8)
    found = folds_of(project, "split={use: holdout, share: 0.25}").table.set_index("id")["fold"]
    assert found[made.table["id"]].tolist() == made.table["fold"].tolist()
    assert (found[[f"u{i:03d}" for i in range(28, 48)]] == 0).sum() == 5
    assert (found[[f"u{i:03d}" for i in range(48, 56)]] == 0).sum() == 2


def test_a_new_group_gets_a_fold_of_its_own_and_moves_none(project):
    write_rows(project.root, "ab" * 3, site=list("bbddee"))
    split = "split={use: leave_one_group_out, group: site}"
    assert folds_of(project, split).of(["u000", "u002", "u004"]).tolist() == [0, 1, 2]
    write_rows(project.root, "ab" * 5, site=list("bbddeeaacb"))
    found = folds_of(project, split)
    assert found.of([f"u{i:03d}" for i in range(10)]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 0]
    write_rows(project.root, "ab" * 6, site=list("bbddddaacbee"))
    with pytest.raises(FoldsError, match="now gives 2 units another fold"):
        folds_of(project, split)


@pytest.mark.parametrize(
    ("answer", "stored", "wanted"),
    [
        ([1, 2, 0, 3], [0, 1, -2, -2], [0, 1, 2, 3]),  # shifted by a fold that is new; 3 is free, 0 is not
        ([1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]),  # another order, and the last unit has moved
        ([0, 0, 1], [0, 1, -2], [0, 0, 2]),  # two stored folds became one
        ([0, -1, -1, 1], [-1, 0, -2, -2], [1, -1, -1, 2]),  # never held out is no number
    ],
)
def test_folds_keep_their_numbers(answer, stored, wanted):
    assert keep_numbers(np.array(answer), np.array(stored)).tolist() == wanted


def test_place_units_by_group_then_class_then_size():
    #           stored: fold 0 has two of class 0, fold 1 one of class 0 and one of class 1
    fold_of = np.array([0, 0, 1, 1, -2, -2, -2, -2])
    strata = np.array([0, 0, 0, 1, 0, 1, 0, 1])
    groups = np.array(["g0", "g1", "g2", "g3", "g9", "g9", "g0", "g8"], dtype=object)
    # g9 by its first unit's class (fold 1 has fewer), and stays whole; g0 is in fold 0; then class 1 is rarer in fold 0.
    assert place_units(fold_of, strata, groups, 2).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_place_units_leaves_a_class_that_is_never_held_out():
    assert place_units(np.array([-1, 0, 1, -2, -2]), np.array([1, 0, 0, 1, 0]), np.arange(5), 2).tolist() == [-1, 0, 1, -1, 0]


def test_a_unit_that_comes_later_goes_where_what_the_split_balances_is_rarest():
    """By class u4 (class 1) would go to fold 0, which has none; by its band (b) to fold 1, where b is rarer."""
    table = pd.DataFrame({"id": [f"u{i}" for i in range(5)], "band": list("bbaab")})
    units = Units(table, np.array([0, 0, 0, 1, 1]), np.zeros((5, 0), np.float32), np.zeros((5, 0)))
    stored = pd.DataFrame({"id": [f"u{i}" for i in range(4)], "fold": [0, 0, 0, 1]})
    rule, catalog = {"use": "stratified", "folds": 2, "seed": 1}, build_catalog(None)
    found = [add_units(catalog, rule | by, units, stored, Path("f.csv"))["fold"].iloc[-1] for by in ({}, {"by": ["band"]})]
    assert found == [0, 1]


@pytest.mark.parametrize("by", ["patient", 3, [], [1, 2], {"a": 1}])
def test_what_another_plugins_by_means_is_its_own_business(by):
    units = Units(pd.DataFrame({"id": ["u0", "u1"], "p": ["x", "y"]}), np.array([1, 0]), np.zeros((2, 0)), np.zeros((2, 0)))
    assert find_balanced(units, {"use": "mine", "seed": 1, "by": by}).tolist() == [1, 0]


def test_a_column_to_balance_that_has_gone_is_named(project):
    split = "split={use: stratified, folds: 3, by: [band]}"
    write_rows(project.root, "aab" * 10, band=["x", "y"] * 15)
    folds_of(project, split)
    write_rows(project.root, "aab" * 10 + "a")
    with pytest.raises(FoldsError, match="split.by: no column 'band'; the training table has row_id, id, image, y, file"):
        folds_of(project, split)


def test_units_that_a_file_lacks_are_appended(project):
    competition, folds = open_all(project)
    units = make_units(competition)
    found = add_units(build_catalog(None), {"use": "stratified", "seed": 1}, units, folds.table.head(10), folds.path)
    assert found.head(10)["id"].tolist() == folds.table.head(10)["id"].tolist() and set(found["id"]) == set(folds.table["id"])
