"""Divided: columns that look like groups, by hand, and classes that a fold lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.api import Tables
from comp.audit.divided import agree_within, find_group_columns, judge_classes, judge_groups
from comp.competition import Competition, work_out_task
from comp.folds import Folds


def open_tables(columns: dict[str, list[str]], test: dict[str, list[str]] | None = None) -> Tables:
    ids = [f"r{place:03d}" for place in range(len(columns["y"]))]
    train = pd.DataFrame({"row_id": ids, "id": ids, "image": "", **columns}, dtype=object)
    asked = None if test is None else pd.DataFrame({"row_id": ["t"], "id": ["t"], "image": [""], **test}, dtype=object)
    return Tables(train, asked, None, "id", ("y",), (), Path())


def open_folds(tables: Tables, fold: np.ndarray) -> Folds:
    return Folds(pd.DataFrame({"id": tables.train["id"], "fold": fold.astype(np.int64)}), Path("default.csv"), "")


def test_agreement_within_by_hand() -> None:
    """Codes 0 0 0 1 1 with strata a a b b b: of 3 + 1 pairs within, 1 + 1 agree; of 10 pairs in all 1 + 3."""
    same, chance = agree_within(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1]))
    assert (same, chance) == (2 / 4, 4 / 10)


def test_a_divided_patient_is_found_and_a_kept_one_is_not() -> None:
    patient = [f"p{place // 5}" for place in range(100)]
    columns = {
        "y": [str(place // 5 % 2) for place in range(100)],
        "patient": patient,
        "site": [f"s{place}" for place in range(100)],
    }
    columns |= {"age": [str(place % 40) for place in range(100)], "sex": ["f", "m"] * 50}
    tables = open_tables(columns)
    task = work_out_task(tables)
    assert find_group_columns(tables, task, open_folds(tables, np.arange(100) // 5 % 4)) == []
    (column,) = found = find_group_columns(tables, task, open_folds(tables, np.arange(100) % 4))
    assert (column.name, column.values, column.divided, column.same, column.known) == ("patient", 20, 1.0, 1.0, None)
    assert column.chance == pytest.approx(49 / 99)
    (finding,) = judge_groups(found, {"use": "stratified", "group": None})
    assert (
        finding.level == "warning" and "split.group: patient" in finding.do and "in 100% of cases, any two in 49%" in finding.text
    )
    (finding,) = judge_groups(found, {"use": "stratified", "group": "site"})
    assert finding.level == "note"


@pytest.mark.parametrize(("theirs", "level"), [("p3", "note"), ("p99", "warning")])
def test_what_the_test_set_has_decides(theirs: str, level: str) -> None:
    """Patients that the test set shares may be divided; where it has others, folds are to keep them together."""
    random = np.random.default_rng(0)
    columns = {"y": random.choice(["a", "b"], 100).tolist(), "patient": [f"p{place // 5}" for place in range(100)]}
    tables = open_tables(columns, {"patient": [theirs]})
    found = find_group_columns(tables, work_out_task(tables), open_folds(tables, np.arange(100) % 4))
    assert [finding.level for finding in judge_groups(found, {})] == [level]


@pytest.mark.parametrize(
    ("name", "number", "says"),
    [("user_age", "1{}", False), ("replacement_cost", "1{}", False), ("resource_mm", "1{}.5", False), ("site", "1{}.5", False),
     ("patient_id", "1{}", True), ("PatientNo", "1{}.0", True), ("userid", "1{}", True), ("drawn by", "Ann {}", True)],
)  # fmt: skip
def test_numbers_are_groups_where_the_column_says_whom(name: str, number: str, says: bool) -> None:
    columns = {"y": [str(place // 5 % 2) for place in range(100)], name: [number.format(place // 5) for place in range(100)]}
    tables = open_tables(columns)
    found = find_group_columns(tables, work_out_task(tables), open_folds(tables, np.arange(100) % 4))
    assert [column.name for column in found] == [name] * says


def test_classes_that_a_fold_lacks() -> None:
    """b is wholly in fold 1, c not in fold 0, d has fewer units than folds, and is told by `comp check` as rare."""
    labels, fold = list("aaaabbbcccdd"), np.array([0, 1, 2, 0, 1, 1, 1, 1, 2, 2, 0, 1])
    tables = open_tables({"y": labels})
    competition = Competition(Path(), tables, work_out_task(tables), "x")
    texts = [(finding.level, finding.text) for finding in judge_classes(tables, competition.task, open_folds(tables, fold))]
    assert texts == [
        ("warning", "target y: 1 classes are held out in one fold whole, which then trains on none of them: b (3)"),
        ("note", "target y: 1 classes are not held out in some folds: c (3)"),
    ]
