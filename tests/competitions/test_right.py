from __future__ import annotations

import pandas as pd
import pytest

from tests.competitions.right import right_share


def frame(*rows: str, header: str = "id,label") -> pd.DataFrame:
    return pd.DataFrame([row.split(",") for row in rows], columns=header.split(","))


@pytest.mark.parametrize(
    ("given", "wanted", "share"),
    [
        (["a,cat", "b,dog"], ["b,dog", "a,owl"], 0.5),  # joined by id: only b is right
        (["a,3", "b,0", "c,0"], ["a,3", "b,0", "c,1"], 2 / 3),  # grades are labels
        (["a,x y", "b,z"], ["a,y x", "b,z x"], 0.5),  # sets
        (["a,Fat Hen"], ["a,Fat Hen"], 1.0),
        (["a,w1 w2 w3", "b,w2 w1 w3"], ["a,w1", "b,w1"], 0.5),  # the first of a list
        (["a,0.9", "b,0.4", "c,0.6", "d,0.1"], ["a,1", "b,1", "c,0", "d,0"], 0.75),  # 3 of 4 pairs
        (["a,0.5", "b,0.5"], ["a,1", "b,0"], 0.5),
        (["a,10.5", "b,20.5", "c,15.5"], ["a,1", "b,100", "c,7"], 1.0),  # ranks
        (["a,10.5", "b,20.5", "c,15.5"], ["a,100", "b,1", "c,7"], -1.0),
        (["a,1 2", "b,"], ["a,2 1", "b,"], 1.0),  # an empty set is an answer
    ],
)
def test_one_column(given, wanted, share):
    assert right_share(frame(*given), frame(*wanted)) == pytest.approx(share)


def test_several_columns():
    wanted = frame("a,1.0,0.0", "b,0.0,1.0", header="id,x,y")
    assert right_share(frame("b,0.9,0.1", "a,0.6,0.4", header="id,x,y"), wanted) == 0.5
    # x: 2 pairs, both right; y: 2 pairs, one right; z is always 0 and tells nothing.
    wanted = frame("a,1,1,0", "b,0,1,0", "c,0,0,0", header="id,x,y,z")
    given = frame("a,0.9,0.2,0.5", "b,0.1,0.8,0.6", "c,0.2,0.3,0.7", header="id,x,y,z")
    assert right_share(given, wanted) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (frame("a,1", header="id,other"), "columns"),
        (frame("a,1"), "1 ids"),
        (frame("a,1", "a,1"), "1 of them different"),
        (frame("a,0.1", "c,0.2"), "wanted the 2 of the solution"),
    ],
)
def test_what_cannot_be_compared(given, message):
    with pytest.raises(ValueError, match=message):
        right_share(given, frame("a,1", "b,0"))
