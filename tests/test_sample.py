"""What a sample asks for, where its rows are numbered or are not the units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import Target, Task
from comp.catalog import build_catalog
from comp.errors import SubmissionError
from comp.predictions import Predictions
from comp.sample import list_units, numbers_rows
from comp.submission import build_submission

COLOUR = Task((Target("colour", "multiclass", ("blue", "red"), ("colour",)),))
MARKS = Task((Target("marks", "multilabel", ("1", "2", "3"), ("marks",), " "),))


@pytest.fixture(scope="module")
def catalog():
    return build_catalog(None)


def table(columns):
    return pd.DataFrame(columns, dtype=str)


NUMBERED = table({"": ["0", "1", "2"], "answer value": ["blue", "blue", "blue"]})


def predict(task, ids, rows):
    return Predictions(task, np.array(ids, dtype=object), np.asarray(rows, dtype=np.float64))


def write(frame):
    return frame.to_csv(index=False, lineterminator="\n")


def test_numbered_rows_are_answered_in_the_test_sets_order(catalog):
    predictions = predict(COLOUR, ["c", "a", "b"], [[0, 1], [1, 0], [0, 1]])
    frame = build_submission(catalog, {"use": "labels"}, COLOUR, predictions, NUMBERED, "", ["a", "b", "c"])
    assert write(frame) == ",answer value\n0,blue\n1,red\n2,red\n"


def test_numbers_that_are_the_ids_are_ids(catalog):
    assert not numbers_rows(NUMBERED, "", ["2", "1", "0"]) and numbers_rows(NUMBERED, "", ["a", "b", "c"])
    predictions = predict(COLOUR, ["2", "1", "0"], [[0, 1], [0, 1], [1, 0]])
    frame = build_submission(catalog, {"use": "labels"}, COLOUR, predictions, NUMBERED, "", ["2", "1", "0"])
    assert write(frame) == ",answer value\n0,blue\n1,red\n2,red\n"


@pytest.mark.parametrize(("order", "message"), [(None, "no test set says whose"), (["a", "b"], "the test set has 2 units")])
def test_numbers_without_as_many_units_are_refused(catalog, order, message):
    predictions = predict(COLOUR, ["a", "b"], [[0, 1], [1, 0]])
    with pytest.raises(SubmissionError, match=f"the sample numbers its 3 rows.*{message}"):
        build_submission(catalog, {"use": "labels"}, COLOUR, predictions, NUMBERED, "", order)


def test_rows_of_a_unit_and_a_class_stand_as_in_the_sample(catalog):
    sample = table({"id": ["b", "a", "b", "a"], "colour": ["red", "red", "blue", "blue"], "p": ["0"] * 4})
    predictions = predict(COLOUR, ["a", "b"], [[0.25, 0.75], [0.5, 0.5]])
    frame = build_submission(catalog, {"use": "long"}, COLOUR, predictions, sample, "id")
    assert write(frame) == "id,colour,p\nb,red,0.5\na,red,0.75\nb,blue,0.5\na,blue,0.25\n"
    with pytest.raises(SubmissionError, match=r"2 ids \(b / red, b / blue\) of the sample's 4 have no prediction"):
        build_submission(catalog, {"use": "long"}, COLOUR, predict(COLOUR, ["a"], [[0.25, 0.75]]), sample, "id")


def test_several_answers_in_a_cell_are_compared_one_by_one(catalog):
    sample = table({"id": ["a", "b"], "marks": ["1", "2"]})
    predictions = predict(MARKS, ["a", "b"], [[0.9, 0.1, 0.8], [0.1, 0.9, 0.2]])
    frame = build_submission(catalog, {"use": "topk", "k": 2}, MARKS, predictions, sample, "id")
    assert write(frame) == "id,marks\na,1 3\nb,2 3\n"
    frame = build_submission(catalog, {"use": "multilabel"}, MARKS, predictions, sample, "id")
    assert write(frame) == "id,marks\na,1 3\nb,2\n"


def test_the_units_that_a_sample_asks_for(catalog):
    joined = table({"ID": ["u_red", "u_blue", "v_red", "v_blue"], "p": ["0"] * 4})
    assert list_units(catalog, {"use": "long"}, COLOUR, joined, "ID", None) == ["u", "v"]
    assert list_units(catalog, {"use": "labels"}, COLOUR, NUMBERED, "", ["a", "b", "c"]) == ["a", "b", "c"]
    assert list_units(catalog, {"use": "labels"}, COLOUR, NUMBERED, "", None) == ["0", "1", "2"]
    with pytest.raises(SubmissionError, match="'nobody' does not end"):
        list_units(catalog, {"use": "long"}, COLOUR, table({"ID": ["nobody"], "p": ["0"]}), "ID", None)
