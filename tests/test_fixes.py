"""fixes.csv: what it may say, and what it changes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from comp.api import Tables
from comp.competition import Competition, work_out_task
from comp.errors import DataError
from comp.fixes import hash_fixes, read_fixes


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    columns = {"row_id": ["007", "08", "10", "11"], "y": ["a", "b", "c", "a"], "z": ["1.5", "2", "3", "4"]}
    train = pd.DataFrame(columns, dtype=object)
    tables = Tables(train.assign(id=train["row_id"], image=""), None, None, "id", ("y", "z"), (), tmp_path)
    return Competition(tmp_path, tables, work_out_task(tables, kinds={"z": "regression"}), "x")


def read(competition: Competition, *lines: str):
    (competition.root / "fixes.csv").write_text("\n".join(["row_id,action,column,value,reason", *lines]) + "\n")
    return read_fixes(competition.root, competition)


def test_rows_are_dropped_and_relabelled_as_text(competition: Competition) -> None:
    fixes = read(competition, "007,drop,,,blurred", "08,relabel,y,c,it is one", "08,relabel,z,7,", "007,relabel,y,b,dropped")
    table = competition.tables.train
    assert fixes.kept(table["row_id"].to_numpy()).tolist() == [False, True, True, True]
    targets = fixes.encode(competition.trained, table)
    assert targets["y"].tolist() == [1, 2, 2, 0] and targets["z"].tolist() == [1.5, 7, 3, 4]
    assert table["y"].tolist() == ["a", "b", "c", "a"]
    assert fixes.describe() == "fixes.csv: 1 rows dropped, 1 relabelled, where they are trained on"
    assert fixes.sha256 == hash_fixes(competition.root)


def test_no_file_is_no_fixes(competition: Competition) -> None:
    assert read_fixes(competition.root, competition) is None and hash_fixes(competition.root) is None


def test_all_faults_with_their_lines(competition: Competition) -> None:
    with pytest.raises(DataError) as caught:
        read(competition, "7,drop,,,", "08,remove,,,", "08,relabel,,a,", "10,relabel,y,a,", "10,relabel,y,b,")
    assert str(caught.value).splitlines() == [
        "fixes.csv:2: the training table has no row '7'",
        "fixes.csv:3: action is 'remove'; wanted drop or relabel",
        "fixes.csv:4: column is ''; wanted one of the targets: y, z",
        "fixes.csv:6: '10' is given a second label of 'y'",
        "4 faults in the tables.",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["08,relabel,y,owl,"], "fixes.csv: 08: y is 'owl', no known class"),
        (["08,relabel,z,many,"], "fixes.csv: 08: z is 'many', not a number"),
        (["007,drop,,,", "08,drop,,,", "10,drop,,,", "11,drop,,,"], "fixes.csv drops every training row"),
    ],
)
def test_labels_that_are_none(competition: Competition, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(competition, *lines)


def test_a_table_that_is_none(competition: Competition) -> None:
    (competition.root / "fixes.csv").write_text("id,what\n1,drop\n")
    with pytest.raises(DataError, match="has no column 'row_id', 'action'; wanted row_id, action, column, value, reason"):
        read_fixes(competition.root, competition)
