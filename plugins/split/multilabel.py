"""Split `multilabel`: every label in its proportion, for label sets and for several targets at once; whole groups if wanted."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin

from ._groups import demand_parts, number_parts


@plugin("split")
def multilabel(units: Units, /, *, folds: int = 5, group: str | None = None, seed: int = 42) -> np.ndarray:
    """Folds in which every label has its share: iterative stratification (Sechidis et al. 2011), the rarest labels first.

    With `group` no group is in two folds: groups are placed one after another, those with the rarest label first, each where
    the squares of the folds' shares, summed over labels and the units themselves, stay smallest.

    Args:
        folds: how many folds.
        group: column that names what must not be divided (patient, location, writer), or null.
        seed: of the order of units (or groups) and of ties, from 0.

    Raises:
        FoldsError: fewer units or groups than folds; no such column; targets without labels (numbers).

    Example: {use: multilabel, folds: 5, group: patient, seed: 42}
    """
    labels = np.asarray(units.labels) > 0
    if labels.shape[1] == 0:
        raise FoldsError("split: multilabel needs labels, but the targets are numbers; use stratified (over quantiles) or plain")
    parts = number_parts(units, group)
    demand_parts(folds, int(parts.max(initial=-1)) + 1, group)
    return stratify_units(labels, folds, seed) if group is None else place_groups(labels, parts, folds, seed)[parts]


def stratify_units(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(U,) int64 folds of units with labels (U, L) bool: those of iterstrat's MultilabelStratifiedKFold, bit by bit.

    That looks at all units and labels again for each label, and at all labels for each unit; this only at those that a unit has.
    """
    if labels.shape[1] == 1:
        labels = np.hstack([labels, ~labels])  # the library takes a single column for a class and refuses it
    random = np.random.RandomState(seed)
    order = np.arange(len(labels))
    random.shuffle(order)
    result = np.empty(len(labels), dtype=np.int64)
    result[order] = deal_labels(labels[order], folds, random)
    return result


def deal_labels(labels: np.ndarray, folds: int, random: np.random.RandomState) -> np.ndarray:
    """(U,) int64: the units of the label that fewest have left go to the folds that want most of it, and so on."""
    units, columns = np.nonzero(labels)
    starts = np.searchsorted(units, np.arange(len(labels) + 1)).tolist()
    by_label, left = units[np.argsort(columns, kind="stable")], labels.sum(axis=0)
    ends, own = np.cumsum(left), columns.tolist()
    wanted = np.outer(left, np.full(folds, 1 / folds)).tolist()
    room = (np.full(folds, 1 / folds) * len(labels)).tolist()
    result = np.full(len(labels), -1, dtype=np.int64)
    while (there := np.flatnonzero(left)).size:
        rarest = there[left[there] == left[there].min()]
        label = int(rarest[random.choice(len(rarest))] if len(rarest) > 1 else rarest[0])
        first = ends[label - 1] if label else 0
        dealt = [unit for unit in by_label[first : ends[label]].tolist() if result[unit] < 0]
        for unit in dealt:
            fold = choose_fold(wanted[label], room, random)
            result[unit] = fold
            room[fold] -= 1
            for other in own[starts[unit] : starts[unit + 1]]:
                wanted[other][fold] -= 1
        left -= labels[dealt].sum(axis=0)
    for unit in np.flatnonzero(result < 0).tolist():  # without any label
        result[unit] = fold = choose_fold(room, room, random)
        room[fold] -= 1
    return result


def choose_fold(wanted: list[float], room: list[float], random: np.random.RandomState) -> int:
    """The fold that wants most; of such the one with most room, then by chance."""
    most = max(wanted)
    found = [fold for fold, want in enumerate(wanted) if want == most]
    if len(found) > 1:
        most = max(room[fold] for fold in found)
        found = [fold for fold in found if room[fold] == most]
    return found[random.choice(len(found))] if len(found) > 1 else found[0]


def place_groups(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(G,) int64 folds of groups numbered from 0, whose units have labels (U, L) bool."""
    counts = np.zeros((groups.max() + 1, labels.shape[1] + 1))
    units, columns = np.nonzero(labels)
    np.add.at(counts, (groups[units], columns), 1)
    np.add.at(counts[:, -1], groups, 1)  # the units themselves are one more label
    counts = counts[:, counts.any(axis=0)]
    shares = counts / counts.sum(axis=0)
    rarest = np.where(counts > 0, counts.sum(axis=0), np.inf).min(axis=1)
    random = np.random.RandomState(seed).permutation(len(counts))
    result, held = np.empty(len(counts), dtype=np.int64), np.zeros((folds, shares.shape[1]))
    for group in np.lexsort([random, -shares.max(axis=1), rarest]).tolist():
        # Of the sums of squares over folds only this term depends on where the group goes.
        fold = int(np.lexsort([held[:, -1], (held * shares[group]).sum(axis=1).round(12)])[0])
        held[fold] += shares[group]
        result[group] = fold
    return result
