"""groups.csv: what it adds to the training table, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from comp.api import Tables
from comp.errors import DataError
from comp.groups import join_groups


def join(root: Path, text: str) -> pd.DataFrame:
    (root / "groups.csv").write_text(text, encoding="utf-8-sig")
    train = pd.DataFrame({"row_id": ["1", "2", "3", "4"], "id": ["a", "a", "b", "007"], "image": "", "y": "0"}, dtype=object)
    return join_groups(root, Tables(train, None, None, "id", ("y",), (), root)).train


def test_columns_are_joined_by_id_and_the_rest_are_groups_of_their_own(tmp_path: Path) -> None:
    table = join(tmp_path, "id,lookalike,site\na,x,\n007,x,north\nnobody,y,south\n")
    assert table["lookalike"].tolist() == ["x", "x", "only b", "x"]
    assert table["site"].tolist() == ["only a", "only a", "only b", "north"]


def test_no_file_changes_nothing(tmp_path: Path) -> None:
    tables = Tables(pd.DataFrame({"id": ["a"]}), None, None, "id", ("y",), (), tmp_path)
    assert join_groups(tmp_path, tables) is tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,y\na,1\n", "groups.csv has the column 'y', which the training table has, too"),
        ("id,g\na,1\na,2\n", "groups.csv: 1 ids stand twice: 'a'"),
        ("name,g\na,1\n", "groups.csv has the columns name, g; wanted id"),
        ("id\na\n", "wanted id, and one for each way to group"),
        ("id,g\nb.png,1\n7,1\n", "has none of the training ids: it has 'b.png', '7', the table 'a', 'b', '007'"),
        ("id,g\na,1,\nb,1,\n", "groups.csv has lines of more cells than its first line"),
        ('id,g\n"a,1\n', "groups.csv cannot be read"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match="groups.csv") as caught:
        join(tmp_path, text)
    assert message in str(caught.value)
