"""Split `multilabel`: iterative stratification (Sechidis et al. 2011), for label sets and for several targets at once."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin


@plugin("split")
def multilabel(units: Units, /, *, folds: int = 5, seed: int = 42) -> np.ndarray:
    """Folds in which every label has its share, the rarest labels placed first.

    Args:
        folds: how many folds.
        seed: of the order of units and of ties.

    Raises:
        FoldsError: fewer units than folds; targets without labels (numbers).
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    labels = np.asarray(units.labels) > 0
    if labels.shape[1] == 0:
        raise FoldsError("split: multilabel needs labels, but the targets are numbers; use stratified (over quantiles) or plain")
    if not 2 <= folds <= len(labels):
        raise FoldsError(f"split.folds is {folds}, but there are {len(labels)} units; 2 ≤ folds ≤ units is wanted")
    if labels.shape[1] == 1:
        labels = np.hstack([labels, ~labels])  # the library takes a single column for a class and refuses it
    result = np.empty(len(labels), dtype=np.int64)
    # random_state is refused without shuffle, yet draws the ties in any case: both, or the folds differ from call to call.
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        result[held_out] = fold
    return result
