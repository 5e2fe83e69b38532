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
    """(U,) int64 folds of units with labels (U, L) bool."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    if labels.shape[1] == 1:
        labels = np.hstack([labels, ~labels])  # the library takes a single column for a class and refuses it
    result = np.empty(len(labels), dtype=np.int64)
    # random_state is refused without shuffle, yet draws the ties in any case: both, or the folds differ from call to call.
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        result[held_out] = fold
    return result


def place_groups(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(G,) int64 folds of groups numbered from 0, whose units have labels (U, L) bool."""
    counts = np.zeros((groups.max() + 1, labels.shape[1] + 1))
    np.add.at(counts, groups, np.hstack([labels, np.ones((len(labels), 1))]))  # the units themselves are one more label
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
