from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import SubmissionError, Target, Task
from comp.plugins.submission.probability import probability

GRADE = Task((Target("grade", "binary", ("01", "10"), ("grade",)),))
LESION = Task((Target("lesion", "multiclass", ("mel", "nv", "bcc"), ("lesion",)),))
WEIGHT = Task((Target("weight", "regression", (), ("weight",)),))
SAID = np.array([[0.3, 0.7], [0.9, 0.1]])


def sample_of(*columns):
    return pd.DataFrame({column: pd.Series(["0"], dtype=str) for column in columns})


def test_the_last_of_two_classes_or_the_one_that_the_column_names():
    form = probability(GRADE, sample_of("Id", "target"))
    assert form(["a", "b"], SAID).to_dict("list") == {"Id": ["a", "b"], "target": [0.7, 0.1]} and not form.rows_sum_to_one
    assert probability(GRADE, sample_of("Id", "01"))(["a", "b"], SAID)["01"].tolist() == [0.3, 0.9]
    assert probability(GRADE, sample_of("Id", "target"), positive="01")(["a", "b"], SAID)["target"].tolist() == [0.3, 0.9]
    assert list(probability(GRADE, None)(["a", "b"], SAID).columns) == ["id", "grade"]


def test_of_more_classes_one_or_several_are_named():
    said = np.array([[0.2, 0.5, 0.3]])
    assert probability(LESION, sample_of("Id", "nv"))(["a"], said)["nv"].tolist() == [0.5]
    form = probability(LESION, sample_of("Id", "malignant"), positive=["mel", "bcc"])
    assert form(["a"], said)["malignant"].tolist() == pytest.approx([0.5])
    over = probability(LESION, None, positive=["mel", "nv", "bcc"])(["a"], np.array([[0.1, 0.7, 0.2000000001]]))
    assert over["lesion"].tolist() == [1.0]
    with pytest.raises(SubmissionError, match="submission.positive: 'lesion' has 3 classes; say which"):
        probability(LESION, sample_of("Id", "malignant"))


@pytest.mark.parametrize("positive", ["no", ["mel", "mel"], []])
def test_what_is_no_positive_class_is_refused(positive):
    with pytest.raises(SubmissionError, match=r"submission.positive: .* 'lesion' \(mel, nv, bcc\)"):
        probability(LESION, None, positive=positive)


def test_what_has_no_one_probability_is_refused():
    with pytest.raises(SubmissionError, match="the task is regression"):
        probability(WEIGHT, None)
    with pytest.raises(SubmissionError, match="columns are a, b"):
        probability(GRADE, sample_of("Id", "a", "b"))
