"""Clusters: units whose pictures look the same, where they stand and what they answer; and the groups that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from comp.api import STACK, Tables, Task
from comp.audit.findings import Finding
from comp.audit.twins import Twins
from comp.competition import encode_targets
from comp.folds import Folds
from comp.pictures import shorten

REMEDY = "`comp audit NAME --groups` and `split.group: lookalike` keep them together"
MOST_LABELS = 3
TOLERANCE = 0.1
"""Of a number's standard deviation: labels of one picture that differ by more disagree."""


@dataclass(frozen=True)
class Member:
    """A picture of a cluster.

    Attributes:
        table: train | test.
        image: the picture that has lookalikes; of a stack one.
        fold: where its unit is held out, in the first repeat; -1: never; None: a test row.
        label: its targets as the table writes them; empty for a test row.
    """

    table: str
    id: str
    row_id: str
    image: str
    fold: int | None
    label: str


@dataclass(frozen=True)
class Cluster:
    """Units that look the same, through some of their pictures.

    Attributes:
        members: at least two, the training rows first.
        likeness: the least that two of them were found to have.
        disagree: whether the labels of two training rows that look the same differ; a chain of rows may lead from one to another.
        divided: whether its training units stand in several folds.
        reaches_test: whether it has training and test rows.
    """

    members: tuple[Member, ...]
    likeness: float
    disagree: bool
    divided: bool
    reaches_test: bool

    @property
    def graveness(self) -> tuple[bool, bool, bool]:
        return self.disagree, self.reaches_test, self.divided


@dataclass(frozen=True)
class Album:
    """Every row of both tables, training first, and the single pictures that it shows.

    Attributes:
        units: (R,) int64: the unit of each row; an id that is in both tables is two units.
        of_row, of_picture: (E,) int64 each: a row, and one of its pictures.
        refs: the pictures.
    """

    rows: pd.DataFrame
    units: np.ndarray
    of_row: np.ndarray
    of_picture: np.ndarray
    refs: tuple[str, ...]

    @property
    def ours(self) -> int:
        """How many pictures training rows show; these come first."""
        shown = self.of_picture[(self.rows["table"] == "train").to_numpy()[self.of_row]]
        return int(shown.max(initial=-1)) + 1


def open_album(tables: Tables) -> Album:
    parts = [tables.train.assign(table="train")]
    if tables.test is not None and len(tables.test):
        parts.append(tables.test.assign(table="test"))
    rows = pd.concat([part[["table", "row_id", "id", "image"]] for part in parts], ignore_index=True)
    units = pd.factorize(pd.MultiIndex.from_frame(rows[["table", "id"]]))[0]
    single = rows["image"].str.split(STACK, regex=False).explode()
    single = single[single != ""]
    codes, refs = pd.factorize(single)
    return Album(rows, units.astype(np.int64), single.index.to_numpy(np.int64), codes.astype(np.int64), tuple(refs))


def join_clusters(album: Album, twins: Twins, task: Task, train: pd.DataFrame, folds: Folds) -> list[Cluster]:
    """All clusters, the gravest first, then the largest. `train`: the training table, whose rows come first in the album."""
    edges, likeness = _list_edges(album, twins)
    pictures = _choose_pictures(album, twins)
    labels = _connect(len(album.rows), np.hstack([edges, _within_units(album)]))
    fold_of, told = folds.of_all(train["id"]), _say_labels(task, train)
    alike = np.unique(edges)
    several = pd.Series(album.units[alike]).groupby(labels[alike]).nunique()
    least = pd.Series(likeness).groupby(labels[edges[0]]).min()
    at_odds = set(labels[_list_at_odds(edges, _list_answers(task, train), len(train))].tolist())
    found = []
    for label, chosen in pd.Series(alike).groupby(labels[alike]):
        if several[label] > 1:
            rows = chosen.to_numpy()
            ours = rows[rows < len(train)]
            found.append(
                Cluster(
                    tuple(_describe(album, row, pictures[row], fold_of, told) for row in rows.tolist()),
                    float(least[label]),
                    label in at_odds,
                    bool((fold_of[:, ours] != fold_of[:, ours[:1]]).any()),
                    0 < len(ours) < len(rows),
                )
            )
    return sorted(found, key=lambda cluster: (cluster.graveness, len(cluster.members)), reverse=True)


def list_groups(clusters: Sequence[Cluster], train: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """id -> its group, of all training units that share one: by looks, or by what `columns` (of the table) say.

    A group is called like the first of its ids.
    """
    ids = train["id"].drop_duplicates().sort_values().to_numpy(dtype=object)
    place = pd.Series(np.arange(len(ids)), ids)
    pairs = []
    for cluster in clusters:
        members = place[[member.id for member in cluster.members if member.table == "train"]].to_numpy()
        pairs += [(members[0], other) for other in members[1:].tolist()] if len(members) else []
    for column in columns:
        first = train.groupby(column, sort=False)["id"].transform("first")
        pairs += zip(place[first].to_numpy().tolist(), place[train["id"]].to_numpy().tolist(), strict=True)
    labels = _connect(len(ids), np.array(pairs, np.int64).reshape(-1, 2).T)
    names = pd.Series(ids).groupby(labels).transform("first")
    return pd.Series(names.to_numpy(), ids)[(pd.Series(labels).groupby(labels).transform("size") > 1).to_numpy()]


def judge_clusters(clusters: Sequence[Cluster], units: int, per_repeat: int) -> list[Finding]:
    """What they mean for the scores.

    Args:
        units: training units in all.
        per_repeat: folds that share them.
    """
    divided = [cluster for cluster in clusters if cluster.divided]
    shared = [cluster for cluster in clusters if cluster.reaches_test]
    at_odds = [cluster for cluster in clusters if cluster.disagree]
    found = []
    if divided:
        text = f"{_count(divided)} with {sum(map(_count_units, divided))} training units stand in several folds"
        found.append(Finding("leak", "lookalikes", text, REMEDY))
    if shared:
        ids = len({member.id for cluster in shared for member in cluster.members if member.table == "test"})
        text = f"{ids} test units look like training images ({_count(shared)})"
        found.append(Finding("leak", "lookalikes", text, "their answers are known, and a score on them flatters"))
    if at_odds:
        text = f"the labels of {_count(at_odds)} disagree, as {_say_disagreeing(at_odds[0])}"
        found.append(Finding("warning", "labels", text, "fixes.csv drops or relabels rows in training"))
    largest = max(map(_count_units, clusters), default=0)
    if largest * per_repeat > units and largest > 1:
        text = f"one group of lookalikes has {largest} of {units} training units, more than one of {per_repeat} folds holds"
        do = "kept together, it makes folds of unequal size; the report shows whether these are the same pictures"
        found.append(Finding("warning", "lookalikes", text, do))
    rest = len(clusters) - sum(any(cluster.graveness) for cluster in clusters)
    if rest:
        found.append(Finding("note", "lookalikes", f"groups of lookalikes in one fold, or in the test set alone: {rest}"))
    return found


def _count_units(cluster: Cluster) -> int:
    return len({member.id for member in cluster.members if member.table == "train"})


def _say_disagreeing(cluster: Cluster) -> str:
    """Of each label the first row, but for three of them at most."""
    first: dict[str, str] = {}
    for member in cluster.members:
        if member.table == "train":
            first.setdefault(member.label, member.row_id)
    said = [f"{shorten(row)}: {shorten(label) or 'none'}" for label, row in list(first.items())[:MOST_LABELS]]
    return ", ".join(said) + (f" and {len(first) - MOST_LABELS} more" if len(first) > MOST_LABELS else "")


def _list_at_odds(edges: np.ndarray, answers: Sequence[tuple[np.ndarray, float]], training: int) -> np.ndarray:
    """Rows that look like another whose answer is another. `training`: rows below it are training rows."""
    first, second = edges[:, (edges < training).all(axis=0)]
    apart = np.zeros(len(first), bool)
    for values, most in answers:
        differ = np.abs(values[first] - values[second]) > most
        apart |= differ.any(axis=1) if differ.ndim == 2 else differ
    return first[apart]


def _count(clusters: Sequence[Cluster]) -> str:
    return "1 group of lookalikes" if len(clusters) == 1 else f"{len(clusters)} groups of lookalikes"


def _list_edges(album: Album, twins: Twins) -> tuple[np.ndarray, np.ndarray]:
    """(2, E) rows that show twins, or the same picture, and (E,) how alike those are."""
    order = np.argsort(album.of_picture, kind="stable")
    rows, pictures = album.of_row[order], album.of_picture[order]
    first = rows[np.searchsorted(pictures, np.arange(len(album.refs)))]
    same = rows != first[pictures]
    shared = np.stack([first[pictures[same]], rows[same]])
    twin = np.stack([first[twins.first], first[twins.second]])
    return np.hstack([shared, twin]), np.r_[np.ones(shared.shape[1]), twins.likeness]


def _within_units(album: Album) -> np.ndarray:
    """(2, R): every row and the first of its unit."""
    first = np.unique(album.units, return_index=True)[1]
    return np.stack([first[album.units], np.arange(len(album.units))])


def _connect(count: int, edges: np.ndarray) -> np.ndarray:
    """(count,) the number of the part that each node is in. `edges`: (2, E)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _say_labels(task: Task, train: pd.DataFrame) -> list[str]:
    columns = [column for target in task.targets for column in target.columns]
    if len(columns) == 1:
        return train[columns[0]].tolist()
    if len(task.targets) == 1:  # a column for each label
        flags = train[columns].isin(["1", "1.0"]).to_numpy()
        return [" ".join(column for column, flag in zip(columns, row, strict=True) if flag) or "none" for row in flags]
    return [", ".join(map("=".join, zip(columns, cells, strict=True))) for cells in train[columns].to_numpy(dtype=object)]


def _choose_pictures(album: Album, twins: Twins) -> np.ndarray:
    """(R,) int64: of each row a picture that has lookalikes, if it has one."""
    alike = np.bincount(album.of_picture, minlength=len(album.refs)) > 1
    alike[twins.first] = alike[twins.second] = True
    chosen, found = alike[album.of_picture], np.zeros(len(album.rows), np.int64)
    found[album.of_row[chosen]] = album.of_picture[chosen]
    return found


def _describe(album: Album, row: int, picture: int, fold_of: np.ndarray, told: Sequence[str]) -> Member:
    table, row_id, unit, _ = album.rows.iloc[row]
    image = album.refs[picture]
    if table == "test":
        return Member(table, unit, row_id, image, None, "")
    return Member(table, unit, row_id, image, int(fold_of[0, row]), told[row])


def _list_answers(task: Task, train: pd.DataFrame) -> list[tuple[np.ndarray, float]]:
    """Each target's encoded values, and by how much they may differ."""
    encoded = encode_targets(task, train)
    numbers = {target.name for target in task.targets if target.kind == "regression"}
    return [(values, TOLERANCE * float(values.std()) if name in numbers else 0.0) for name, values in encoded.items()]
