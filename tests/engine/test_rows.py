"""Rows: images, ids, keys and targets of one table stay together in whatever order they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comp.engine.randomness import row_key
from comp.engine.rows import make_rows

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def test_rows_are_the_tables_in_its_order(desk: Desk) -> None:
    case = desk.case()
    table = case.competition.tables.train.head(100)
    rows = case.rows
    assert len(rows) == 100 and rows.ids.tolist() == table["id"].tolist() and rows.row_ids.tolist() == table["row_id"].tolist()
    assert [case.task.target.classes[value] for value in rows.targets["label"]] == table["label"].tolist()
    assert rows.keys[3] == row_key(table["row_id"].iloc[3]) and rows.weights.tolist() == [1.0] * 100
    assert case.test.targets == {} and len(case.test) == 20


def test_what_is_taken_keeps_its_image_id_key_and_target(desk: Desk) -> None:
    rows = desk.case().rows
    chosen = np.array([7, 3, 7, 0])
    some = rows.take(chosen)
    assert len(some) == 4 and some.ids.tolist() == rows.ids[chosen].tolist()
    for at, row in enumerate(chosen):
        assert some.keys[at] == rows.keys[row] and some.targets["label"][at] == rows.targets["label"][row]
        assert np.array_equal(some.store.take(some.positions[[at]]), rows.store.take(rows.positions[[row]]))
    assert some.take(np.array([1])).row_ids.tolist() == [rows.row_ids[3]]


def test_weights_and_columns_come_from_the_table(desk: Desk) -> None:
    case = desk.case()
    table = case.competition.tables.train.head(4).assign(w=["1", "3", "0", "4"], age=["7", "", "9", "1"])
    rows = make_rows(table, case.rows.store, case.task, "w", ["age"])
    assert rows.weights.tolist() == [1, 3, 0, 4] and rows.columns["age"].tolist() == ["7", "", "9", "1"]
    some = rows.take(np.array([3, 1])).balance_weights()
    assert np.allclose(some.weights, [8 / 7, 6 / 7]) and some.columns["age"].tolist() == ["1", ""]
    assert rows.take(np.array([2])).balance_weights().weights.tolist() == [0]
