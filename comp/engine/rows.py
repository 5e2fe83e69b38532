"""Rows of a table as the engine sees them: where their images lie in a store, and what they should answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from comp.api import Task
from comp.competition import encode_targets
from comp.engine.randomness import row_keys
from comp.store import ImageStore


@dataclass(frozen=True)
class Rows:
    """Rows of one table, in one order.

    Attributes:
        ids, row_ids: (N,) text: the unit and the row.
        positions: (N,) int64, where each row's image lies in the store.
        keys: (N,) uint64, what a row's augmentation is seeded from.
        targets: target name -> array over the rows; empty for a test set.
        weights: (N,) float32, 1 on average.
    """

    store: ImageStore
    ids: np.ndarray
    row_ids: np.ndarray
    positions: np.ndarray
    keys: np.ndarray
    targets: Mapping[str, np.ndarray]
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows at these positions, in this order."""
        return Rows(
            self.store,
            self.ids[chosen],
            self.row_ids[chosen],
            self.positions[chosen],
            self.keys[chosen],
            {name: values[chosen] for name, values in self.targets.items()},
            self.weights[chosen],
        )


def make_rows(table: pd.DataFrame, store: ImageStore, task: Task | None) -> Rows:
    """All rows of a table, whose images the store was opened with, in its order. `task` None: a test set."""
    return Rows(
        store,
        table["id"].to_numpy(dtype=object),
        table["row_id"].to_numpy(dtype=object),
        np.arange(len(table), dtype=np.int64),
        row_keys(table["row_id"]),
        encode_targets(task, table) if task else {},
        np.ones(len(table), dtype=np.float32),
    )
