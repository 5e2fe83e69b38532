"""Rows of a table as the engine sees them: where their images lie in a store, and what they should answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from comp.api import Task
from comp.competition import encode_targets
from comp.engine.randomness import row_keys
from comp.stores.stored import ImageStore


@dataclass(frozen=True)
class Rows:
    """Rows of one table, in one order.

    Attributes:
        ids, row_ids: (N,) text: the unit and the row.
        positions: (N,) int64, where each row's image lies in the store.
        keys: (N,) uint64, what a row's augmentation is seeded from.
        targets: target name -> array over the rows; empty for a test set.
        weights: (N,) float32 from 0; of a fold's training rows 1 on average.
        columns: (N rows) the row's own columns that a model takes, as text; None without.
        table: (N, F) float32, what they were encoded to; None without.
        labelled: (N,) bool; None: every row's targets count.
        teacher: target name -> (N, width) float32 probabilities or values; None without.
    """

    store: ImageStore
    ids: np.ndarray
    row_ids: np.ndarray
    positions: np.ndarray
    keys: np.ndarray
    targets: Mapping[str, np.ndarray]
    weights: np.ndarray
    columns: pd.DataFrame | None = None
    table: np.ndarray | None = None
    labelled: np.ndarray | None = None
    teacher: Mapping[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def balance_weights(self) -> Rows:
        """The same with weights that are 1 on average (over these rows, never over a batch)."""
        total = float(self.weights.sum(dtype=np.float64))
        return replace(self, weights=(self.weights * (len(self) / total)).astype(np.float32)) if total > 0 else self

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows at these positions, in this order."""

        def pick(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[chosen]

        return Rows(
            self.store,
            self.ids[chosen],
            self.row_ids[chosen],
            self.positions[chosen],
            self.keys[chosen],
            {name: values[chosen] for name, values in self.targets.items()},
            self.weights[chosen],
            None if self.columns is None else self.columns.iloc[chosen].reset_index(drop=True),
            pick(self.table),
            pick(self.labelled),
            None if self.teacher is None else {name: values[chosen] for name, values in self.teacher.items()},
        )


def make_rows(
    table: pd.DataFrame, store: ImageStore, task: Task | None, weight: str | None = None, columns: Sequence[str] = ()
) -> Rows:
    """All rows of a table, whose images the store was opened with, in its order.

    Args:
        task: None: a test set.
        weight: the table's column of row weights; None: all rows count the same.
        columns: those that a model takes beside the image.
    """
    return Rows(
        store,
        table["id"].to_numpy(dtype=object),
        table["row_id"].to_numpy(dtype=object),
        np.arange(len(table), dtype=np.int64),
        row_keys(table["row_id"]),
        encode_targets(task, table) if task else {},
        np.ones(len(table), dtype=np.float32) if weight is None else table[weight].astype(np.float32).to_numpy(),
        table[list(columns)].reset_index(drop=True) if columns else None,
    )
