"""Clusters: rows of one unit are no leak, stacks are looked at picture by picture, numbers may differ a little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import STACK, Tables
from comp.audit.clusters import join_clusters, judge_clusters, list_groups, open_album
from comp.audit.twins import Twins
from comp.competition import work_out_task
from comp.folds import Folds


def open_tables(ids: list[str], images: list[str], labels: list[str]) -> Tables:
    rows = [f"row{place}" for place in range(len(ids))]
    train = pd.DataFrame({"row_id": rows, "id": ids, "image": images, "y": labels}, dtype=object)
    test = pd.DataFrame({"row_id": ["row0"], "id": ["a"], "image": ["t.png"]}, dtype=object)
    return Tables(train, test, None, "id", ("y",), (), Path())


def find(tables: Tables, pairs: list[tuple[str, str]], kind: str | None = None):
    """The clusters where these pictures are twins, and every unit is in a fold of its own."""
    album, units = open_album(tables), tables.train["id"].drop_duplicates()
    first, second = np.array([[album.refs.index(name) for name in pair] for pair in pairs], np.int64).reshape(-1, 2).T
    twins = Twins(first, second, np.full(len(pairs), 0.97, np.float32), 0.9, np.empty(0, np.int64), 0)
    folds = Folds(pd.DataFrame({"id": units.to_numpy(), "fold": np.arange(len(units))}), Path("default.csv"), "")
    return join_clusters(album, twins, work_out_task(tables, kind), tables.train, folds)


def test_pictures_of_one_unit_may_look_the_same() -> None:
    tables = open_tables(["a", "a", "b"], ["1", "2", "3"], ["x", "x", "y"])
    assert find(tables, [("1", "2")]) == []
    (cluster,) = find(tables, [("1", "2"), ("2", "3")])
    assert [member.row_id for member in cluster.members] == ["row0", "row1", "row2"]
    assert cluster.divided and cluster.disagree and not cluster.reaches_test and round(cluster.likeness, 2) == 0.97


def test_a_test_unit_of_the_same_id_is_another_unit() -> None:
    (cluster,) = find(open_tables(["a", "b"], ["1", "2"], ["x", "y"]), [("1", "t.png")])
    assert cluster.reaches_test and not cluster.divided and [member.fold for member in cluster.members] == [0, None]


def test_of_stacks_single_pictures_are_compared_and_shown() -> None:
    """Rows that share a picture's file need no twins; an empty part is no picture."""
    stacks = [STACK.join(["1", "shared"]), STACK.join(["", "shared"]), STACK.join(["3", "4"]), STACK.join(["5", "6"])]
    found = find(open_tables(list("abcd"), stacks, ["x", "x", "y", "x"]), [("4", "5")])
    assert [[(member.id, member.image) for member in cluster.members] for cluster in found] == [
        [("c", "4"), ("d", "5")],  # labels disagree: the graver
        [("a", "shared"), ("b", "shared")],
    ]
    assert found[1].likeness == 1


def test_numbers_disagree_by_more_than_a_tenth_of_their_spread() -> None:
    labels = ["0", "10", "10.4", "11"]  # standard deviation 4.54
    tables = open_tables(list("abcd"), list("1234"), labels)
    assert [find(tables, [pair], "regression")[0].disagree for pair in (("2", "3"), ("2", "4"))] == [False, True]


def test_what_looks_like_the_same_test_row_need_not_agree() -> None:
    """Rows a and b look like a test row, not like each other; b and c do."""
    tables = open_tables(list("abc"), list("123"), ["x", "y", "y"])
    (cluster,) = find(tables, [("1", "t.png"), ("2", "t.png"), ("2", "3")])
    assert len(cluster.members) == 4 and not cluster.disagree
    (cluster,) = find(tables, [("1", "t.png"), ("2", "t.png"), ("1", "2")])
    assert cluster.disagree


def test_three_labels_are_named_and_a_cluster_larger_than_a_fold_is_told() -> None:
    labels = ["x" * 200, "y", "z", "y", "v", "w"]
    clusters = find(open_tables(list("abcdef"), list("123456"), labels), [(str(one), str(one + 1)) for one in range(1, 6)])
    found = {(finding.level, finding.kind): finding.text for finding in judge_clusters(clusters, 11, 2)}
    named = found["warning", "labels"]
    assert len(named) < 160 and "…, row1: y, row2: z and 2 more" in named
    assert found["warning", "lookalikes"].startswith(
        "one group of lookalikes has 6 of 11 training units, more than one of 2 folds"
    )
    assert [finding.kind for finding in judge_clusters(clusters, 12, 2)] == ["lookalikes", "labels"]


def test_groups_are_chained_and_called_like_their_first_id() -> None:
    tables = open_tables(["c", "a", "b", "d", "e"], list("12345"), ["x", "y", "x", "x", "y"])
    train = tables.train.assign(writer=["w", "v", "w", "u", "t"])
    clusters = find(tables, [("1", "2"), ("4", "t.png")])
    assert list_groups(clusters, train, []).to_dict() == {"a": "a", "c": "a"}
    assert list_groups(clusters, train, ["writer"]).to_dict() == {"a": "a", "b": "a", "c": "a"}
