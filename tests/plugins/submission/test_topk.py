from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.api import SubmissionError, Target, Task
from comp.plugins.submission.topk import topk

WHALE = Task((Target("whale", "multiclass", ("new_whale", "w_1", "w_2", "w_3"), ("whale",)),))
WEIGHT = Task((Target("weight", "regression", (), ("weight",)),))
SPACED = Task((Target("animal", "multiclass", ("big cat", "dog"), ("animal",)),))
SAMPLE = pd.DataFrame({"Image": ["a"], "Id": ["new_whale w_1"]}, dtype=str)
SAID = np.array([[0.1, 0.5, 0.2, 0.2], [0.7, 0.0, 0.1, 0.2]])


def test_the_best_come_first_and_of_equals_the_first_class():
    frame = topk(WHALE, SAMPLE, k=3)(["a", "b"], SAID)
    assert frame.to_dict("list") == {"Image": ["a", "b"], "Id": ["w_1 w_2 w_3", "new_whale w_3 w_2"]}
    assert topk(WHALE, None, k=1)(["a", "b"], SAID)["whale"].tolist() == ["w_1", "new_whale"]
    assert topk(WHALE, None, k=9, separator="|")(["a"], SAID[:1])["whale"].tolist() == ["w_1|w_2|w_3|new_whale"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: topk(WHALE, SAMPLE, k=0), "submission.k is 0"),
        (lambda: topk(SPACED, None), "' ' cannot join 'big cat'"),
        (lambda: topk(WHALE, None, separator=""), "submission.separator"),
        (lambda: topk(WEIGHT, None), "the task is regression"),
        (lambda: topk(WHALE, SAMPLE.assign(more="0")), "columns are Id, more"),
    ],
)
def test_what_it_refuses(make, message):
    with pytest.raises(SubmissionError, match=message):
        make()
