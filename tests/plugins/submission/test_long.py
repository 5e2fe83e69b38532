from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import SubmissionError, Target, Task
from comp.plugins.submission.long import long

MARKS = Task((Target("marks", "multilabel", ("any", "sub_any", "x"), ("any", "sub_any", "x")),))
ANIMAL = Target("animal", "multiclass", ("cat", "dog", "owl"), ("animal",))
GRADE = Target("grade", "binary", ("01", "10"), ("grade",))
WEIGHT = Target("weight", "regression", (), ("weight",))
SAID = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])


def table(**columns):
    return pd.DataFrame(columns, dtype=str)


def test_the_class_stands_in_the_id():
    ids = ["u_1_any", "u_1_sub_any", "u_1_x", "u_2_any", "u_2_sub_any", "u_2_x"]
    form = long(MARKS, table(ID=ids, Label=["0.5"] * 6))
    assert form.units == ["u_1", "u_2"] and form.keys == ("ID",)
    frame = form(["u_1", "u_2"], SAID)
    assert frame["ID"].tolist() == ids and frame["Label"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_names_that_the_sample_does_not_ask_for_are_left_out():
    form = long(MARKS, table(ID=["u_x", "v_x"], Label=["0", "0"]))
    assert form(["u", "v"], SAID).to_dict("list") == {"ID": ["u_x", "v_x"], "Label": [0.3, 0.6]}


def test_the_class_stands_in_a_column_of_its_own():
    form = long(Task((ANIMAL,)), table(id=["u", "u", "u"], score=["0", "0", "0"], species=["owl", "cat", "dog"]))
    assert form.keys == ("id", "species") and form.units == ["u"]
    frame = form(["u"], SAID[:1])
    assert frame.to_dict("list") == {"id": ["u"] * 3, "species": ["cat", "dog", "owl"], "score": [0.1, 0.2, 0.3]}


def test_a_row_for_each_of_several_targets():
    said = np.array([[0.2, 0.5, 0.3, 0.4, 0.6, 2.5]])
    task = Task((GRADE, WEIGHT))
    frame = long(task, table(ID=["u-grade", "u-weight"], value=["0", "0"]), separator="-")(["u"], said[:, 3:])
    assert frame.to_dict("list") == {"ID": ["u-grade", "u-weight"], "value": [0.6, 2.5]}
    frame = long(Task((ANIMAL, GRADE, WEIGHT)), None, answer="label")(["u"], said)
    assert frame.to_dict("list") == {"id": ["u_animal", "u_grade", "u_weight"], "answer": ["dog", "10", "2.5"]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: long(Task((WEIGHT,)), None), "'weight' is a number: use labels"),
        (lambda: long(Task((ANIMAL, GRADE)), None), "'animal' has 3 classes, so no one probability; wanted label"),
        (lambda: long(Task((*MARKS.targets, GRADE)), None), "'marks' is a set of labels"),
        (lambda: long(MARKS, table(ID=["u_y"], Label=["0"])), "id 'u_y' does not end in '_' and one of any, sub_any, x"),
        (lambda: long(MARKS, table(ID=["u"], name=["y"], Label=["0"])), "columns are ID, name, Label"),
    ],
)
def test_what_it_refuses(make, message):
    with pytest.raises(SubmissionError, match=message):
        make()
