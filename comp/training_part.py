"""The training part: the rows that folds train on, which are not quite those that they are scored on.

Of the training table it has what fixes.csv leaves, with its labels; then the extra rows, less those that show what a fold
holds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from comp.api import Task
from comp.engine.joined import join_rows
from comp.engine.rows import Rows, make_rows
from comp.extra import ExtraTable
from comp.fixes import Fixes
from comp.lookalikes import confirm_pairs, find_lookalikes, hash_pictures
from comp.runs import FULL
from comp.stores.stored import ImageStore


@dataclass(frozen=True)
class TrainingPart:
    """Attributes:
    rows: the training table's, then the extra ones.
    fold_of: (repeats, N) the fold of each row; -1: never held out, as extra rows are.
    used: (N,) bool: false for a row that fixes.csv drops.
    extra, shown: (P,) int64 each: an extra row, and a row of the training table that looks the same.
    """

    rows: Rows
    fold_of: np.ndarray
    used: np.ndarray
    extra: np.ndarray
    shown: np.ndarray

    def take(self, fold: str) -> tuple[Rows, int]:
        """The rows that a fold (or `full`) trains on, their weights 1 on average; and how many extra ones were left out."""
        chosen, left_out = self.used.copy(), np.empty(0, np.int64)
        if fold != FULL:
            held_out = (self.fold_of == int(fold)).any(axis=0)
            left_out = np.unique(self.extra[held_out[self.shown]])
            chosen &= ~held_out
            chosen[left_out] = False
        return self.rows.take(np.flatnonzero(chosen)).balance_weights(), len(left_out)


def apply_fixes(train: Rows, fixes: Fixes | None, targets: dict[str, np.ndarray] | None) -> tuple[Rows, np.ndarray]:
    """The training table's rows with the labels that training sees, and which of them are trained on."""
    if fixes is None or targets is None:
        return train, np.ones(len(train), bool)
    return replace(train, targets=targets), fixes.kept(train.row_ids)


def join_extra(train: Rows, used: np.ndarray, fold_of: np.ndarray, parts: Sequence[Rows]) -> TrainingPart:
    """The training part.

    Args:
        train, used, fold_of: the training table's, as fixes.csv has it.
        parts: rows of extra tables, weighted.
    """
    rows = join_rows([train.balance_weights(), *parts])
    added = len(rows) - len(train)
    fold_of = np.hstack([fold_of, np.full((len(fold_of), added), -1, fold_of.dtype)])
    used = np.r_[used, np.ones(added, bool)]
    nothing = np.empty(0, np.int64)
    further = np.arange(len(train), len(rows))
    extra, shown = find_alike(rows.take(further), train) if added else (nothing, nothing)
    return TrainingPart(rows, fold_of, used, further[extra], shown)


def find_alike(extra: Rows, train: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (extra row, training row) whose stored images are nearly the same."""
    pictures = [lambda chosen, rows=rows: rows.store.pictures(rows.positions[chosen]) for rows in (extra, train)]
    mine, yours = find_lookalikes(*(hash_pictures(rows.store.pictures(rows.positions)) for rows in (extra, train)))
    same = confirm_pairs(mine, yours, *pictures)
    return mine[same], yours[same]


def make_extra_rows(table: ExtraTable, store: ImageStore, task: Task, columns: Sequence[str]) -> Rows:
    """The rows of an extra table whose images can be read."""
    rows = make_rows(table.tables.train, store, task, columns=columns)
    rows = replace(rows, weights=np.full(len(rows), table.weight, np.float32))
    return rows.take(np.setdiff1d(np.arange(len(rows)), np.fromiter(store.bad, np.int64, len(store.bad))))
