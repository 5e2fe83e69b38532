from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.api import Tables
from comp.competition import work_out_task
from comp.tables import check_images, check_sample, check_tables, describe_fillers


def make_tables(train: dict[str, list[str]], sample: dict[str, list[str]] | None = None, **more) -> Tables:
    targets = more.pop("targets", tuple(column for column in train if column not in ("id", "row_id", "image")))
    table = pd.DataFrame(train, dtype=str)
    if "row_id" not in table:
        table["row_id"] = table["id"] if "id" in table else [f"r{i}" for i in range(len(table))]
    for column in ("id", "image"):
        if column not in table:
            table[column] = table["row_id"]
    read_sample = None if sample is None else pd.DataFrame(sample, dtype=str)
    return Tables(table, None, read_sample, id_column="id", targets=targets, files=(), root=Path("."), **more)


def test_check_tables_says_all_at_once():
    tables = make_tables({"row_id": ["1", "1", "2"], "id": ["a", "", "b"], "y": ["0", "1", "0"]})
    test = pd.DataFrame({"row_id": ["9"], "id": ["9"]}, dtype=str)
    found = check_tables(replace(tables, test=test, targets=("y", "z")))
    assert found == [
        "the training table has no column 'z'; it has 'row_id', 'id', 'y', 'image'",
        "the test table has no column 'image'; it has 'row_id', 'id'",
    ]
    assert check_tables(tables) == [
        "1 row ids stand twice in the training table: '1'",
        "the id of 1 rows of the training table is empty",
    ]


def test_check_tables_wants_text():
    tables = make_tables({"y": ["0", "1"]})
    tables.train["id"] = [1, 2]
    assert check_tables(tables) == [
        "column 'id' of the training table is not all text; a dataset returns ids and targets as written"
    ]
    assert "the training table has no rows" in check_tables(make_tables({"y": []}))


def sample_faults(labels, sample, form="labels", **more) -> list[str]:
    tables = make_tables({"y": labels}, {"id": [f"t{i}" for i in range(len(next(iter(sample.values()))))], **sample}, **more)
    return check_sample(work_out_task(tables), tables, {"use": form} if isinstance(form, str) else form)


def test_a_label_that_only_the_sample_knows():
    (fault,) = sample_faults(["cat", "dog", "owl"], {"y": ["cat", "cow", "cow"]})
    assert fault.startswith("the sample knows 1 values of 'y' that no training row has: 'cow' (id t1)")
    assert sample_faults(["cat", "dog", "owl"], {"Predicted": ["cow"]})
    assert sample_faults(["cat", "dog", "owl"], {"y": ["cat owl"]}, separator=" ") == []
    # The same word in every row is a filler; a class in other letters is none, nor is a number that stands for a class.
    assert sample_faults(["cat", "dog", "owl"], {"y": ["cow", "cow"]}) == []
    assert len(sample_faults(["cat", "dog", "owl"], {"y": ["Cat", "Cat"]})) == 1
    assert len(sample_faults(["cat", "dog", "owl"], {"y": ["0", "0"]})) == 1


def test_numbers_that_no_training_row_has_are_gaps_and_told():
    def say(labels, cells, form="labels", **more) -> tuple[list[str], list[str]]:
        tables = make_tables({"y": labels}, {"id": [f"t{i}" for i in range(len(cells))], "y": cells}, **more)
        checked = work_out_task(tables), tables, {"use": form}
        return check_sample(*checked), describe_fillers(*checked)

    faults, told = say(["3", "17", "256"], ["17", "42", "99", "3"])
    assert faults == []
    assert told == ["the sample knows 2 values of 'y' that no training row has: '42', '99' (id t1); they will never be answered"]
    faults, told = say(["0 2", "2 5", "5"], ["0 1 2"], "multilabel", separator=" ")
    assert faults == [] and "1 values of 'y' that no training row has: '1' (id t0)" in told[0]
    assert say(["3", "17", "256"], ["3 17 256"], "topk") == ([], [])
    faults, told = say(["3", "17", "256"], ["cat"])
    assert len(faults) == 1 and told == []
    faults, told = say(["0", "1", "2"], ["4"])
    assert len(faults) == 1 and told == [], "0, 1, 2 have no gaps: 4 is another numbering"
    faults, told = say(["cat", "17", "256"], ["4"])
    assert len(faults) == 1 and told == []
    assert say(["3", "17", "256"], ["42"], "probability") == ([], [])


@pytest.mark.parametrize("cells", [["cat"], [""], ["cat dog owl"]])
def test_answers_that_training_knows(cells):
    assert sample_faults(["cat", "dog", "owl"], {"y": cells}) == []


def test_probabilities_are_no_labels():
    for form in ("probabilities", "probability", "long"):
        assert sample_faults(["0", "1"], {"y": ["0.5"]}, form=form) == []
    assert sample_faults(["cat", "dog"], {"y": ["0"]}, form={"use": "labels", "write": "number"}) == []
    assert sample_faults(["1.5", "2"], {"y": ["7"]}) == []
    assert sample_faults(["cat", "dog", "owl"], {"is_cat": ["0"], "is_dog": ["0"], "is_owl": ["1"]}) == []
    (fault,) = sample_faults(["cat", "dog", "owl"], {"cat": ["0"], "dog": ["0"], "cow": ["1"]})
    assert fault == "1 columns of the sample are no class of the training table: 'cow'"


def test_missing_images_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    tables = replace(make_tables({"image": ["in/a.png", "in/b.png", "out/c.png"], "y": ["0", "1", "0"]}), root=tmp_path)
    assert check_images(tables) == [
        "2 images of the training table are not there: 'in/b.png', 'out/c.png' (`on_bad_image: skip` leaves them out)"
    ]
    assert check_images(replace(tables, read=lambda name: np.zeros((1, 1), np.uint8))) == []


def test_weights_are_numbers_from_0_on_and_not_all_0():
    assert check_tables(make_tables({"y": ["0", "1"], "w": ["0", "2.5"]}, targets=("y",), weight="w")) == []
    of = {weights: make_tables({"y": ["0", "1"], "w": list(weights)}, targets=("y",), weight="w") for weights in ("1x", "00")}
    assert check_tables(of["1x"]) == ["r1: the weight w is 'x'; wanted a number from 0 on (1 such rows)"]
    assert check_tables(of["00"]) == ["the weight w is 0 in every training row"]
    assert check_tables(make_tables({"y": ["0"]}, weight="w")) == [
        "the training table has no column 'w', which is to be the rows' weight"
    ]


def test_columns_beside_the_image_are_in_both_tables():
    tables = make_tables({"y": ["0", "1"], "age": ["7", ""]}, targets=("y",), columns=("age",), auxiliary=("age",))
    test = tables.train.drop(columns=["age", "y"])
    assert check_tables(tables) == []
    assert check_tables(replace(tables, test=test)) == ["the test table has no column 'age'; it has 'row_id', 'id', 'image'"]


def test_every_row_stacks_as_many_images():
    tables = make_tables({"image": ["a//b", "c//"], "y": ["0", "1"]}, targets=("y",), views=2)
    assert check_tables(tables) == []
    assert check_tables(replace(tables, views=1)) == ["the training table has rows of 2 images; its dataset promises 1 a row"]
