"""Order: how often neighbours agree by hand; ids that give answers away, and ids that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.api import Tables
from comp.audit.order import judge_ids, list_series, measure_runs, read_number
from comp.competition import work_out_task


def judge(labels: list[str], ids: list[str], tests: list[str] = []) -> list[tuple[str, str, str]]:  # noqa: B006
    train = pd.DataFrame({"row_id": ids, "id": ids, "image": "", "y": labels}, dtype=object)
    test = pd.DataFrame({"row_id": tests, "id": tests, "image": ""}, dtype=object)
    tables = Tables(train, test if tests else None, None, "id", ("y",), (), Path())
    return [(finding.level, finding.kind, finding.text) for finding in judge_ids(tables, work_out_task(tables))]


def test_neighbours_agree_by_hand() -> None:
    """Of 0 0 1 1 the first and the third pair agree; of all 6 pairs 2 do: the error is sqrt(1/3 * 2/3 / 3)."""
    same, chance, sure = measure_runs(np.array([0, 0, 1, 1]))
    assert (same, chance) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert sure == pytest.approx((1 / 3) / (2 / 27) ** 0.5)


def test_the_last_number_of_an_id() -> None:
    assert read_number("cam2/img_0012.jpg") == ("cam2/img_#.jpg", 12.0)
    assert read_number("whale") == ("whale", None)
    (series,) = list_series([f"a{number}" for number in range(40, 0, -1)] + ["b1", "none"])
    assert series.name == "a#" and series.places.tolist() == list(range(39, -1, -1)) and series.numbers[0] == 1


def test_random_labels_say_nothing() -> None:
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 600).tolist()
    assert judge(labels, [f"i{number:04d}" for number in range(600)], [f"i{number}" for number in range(9000, 9100)]) == []


def test_series_of_pictures_are_told_and_test_ids_among_them_are_a_leak() -> None:
    labels = np.repeat(np.random.default_rng(0).choice(["a", "b", "c"], 120), 5).tolist()
    ((level, kind, text),) = judge(labels, [f"i{2 * number}" for number in range(600)])
    assert (level, kind) == ("warning", "order") and text.startswith(
        "ids i#: neighbours in their order have the same answer in 8"
    )
    ((level, _, text),) = judge(
        labels, [f"i{2 * number}" for number in range(600)], [f"i{2 * number + 1}" for number in range(100)]
    )
    assert level == "leak" and "100% of the test ids lie among them" in text


def test_ids_class_by_class_are_a_note() -> None:
    assert judge(["a"] * 50 + ["b"] * 50, [f"i{number}" for number in range(100)]) == [
        ("note", "order", "ids i# are numbered class by class")
    ]


def test_tables_that_are_numbered_apart_leak_nothing() -> None:
    """Both begin at 0; the training ids are numbered class by class."""
    labels, ids = np.repeat(list("abcde"), 100).tolist(), [str(number) for number in range(500)]
    found = judge(labels, ids, [str(number) for number in range(300)])
    assert [(level, kind) for level, kind, _ in found] == [("note", "ids"), ("note", "order")]


def test_films_are_one_finding() -> None:
    labels = np.repeat(list("abababab") * 20, 10).tolist()
    ((level, kind, text),) = judge(labels, [f"film{place // 80:02d}_{place % 80}" for place in range(1600)])
    assert (level, kind) == ("warning", "order") and text.startswith("20 series of ids, as ids film00_#: neighbours")


def test_ids_in_both_tables() -> None:
    ((level, kind, text),) = judge(["a", "b"] * 20, [f"x{number}" for number in range(40)], ["x3", "y", "x1"])
    assert (level, kind) == ("note", "ids") and text == "2 ids stand in the training table and in the test set: 'x1', 'x3'"
