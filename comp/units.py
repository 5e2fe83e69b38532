"""Units: what is divided into folds, and the classes to balance while dividing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from comp.api import Task, Units
from comp.competition import Competition, encode_targets, unit_table

QUANTILES = 10


class TrainingUnits(Units):
    """Units whose labels are made only when a split asks for them: one-hot, a million rows of many classes fill the memory."""

    def __init__(
        self, table: pd.DataFrame, strata: np.ndarray, values: np.ndarray, make_labels: Callable[[], np.ndarray]
    ) -> None:
        for name, value in (("table", table), ("strata", strata), ("values", values), ("_make_labels", make_labels)):
            object.__setattr__(self, name, value)

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        return self._make_labels()  # type: ignore[attr-defined]


def make_units(competition: Competition) -> TrainingUnits:
    """One row per unit, sorted by id, so that no split depends on the order of the table."""
    table = unit_table(competition.tables).sort_values("id", ignore_index=True)
    targets = encode_targets(competition.task, table)
    strata, values = find_strata(competition.task, targets), find_values(competition.task, targets)
    return TrainingUnits(table, strata, values, lambda: find_labels(competition.task, targets))


def find_strata(task: Task, targets: Mapping[str, np.ndarray]) -> np.ndarray:
    """(U,) int64 from 0: classes, label sets or quantile bins; several targets: their combinations that occur."""
    strata = np.zeros(len(next(iter(targets.values()))), dtype=np.int64)
    for target in task.targets:
        values = targets[target.name]
        if target.kind == "multilabel":
            packed = np.ascontiguousarray(np.packbits(values > 0, axis=1))
            codes = np.unique(packed.view([("", packed.dtype)] * packed.shape[1]).ravel(), return_inverse=True)[1]
        elif target.kind == "regression":
            edges = np.quantile(values, np.linspace(0, 1, QUANTILES + 1)[1:-1])
            codes = np.searchsorted(edges, values, side="right")
        else:
            codes = values
        strata = np.unique(strata * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]
    return strata.astype(np.int64)


def find_labels(task: Task, targets: Mapping[str, np.ndarray]) -> np.ndarray:
    """(U, L) float32: labels as they are, classes one-hot, side by side; numbers have none."""
    parts = [np.zeros((len(next(iter(targets.values()))), 0), dtype=np.float32)]
    for target in task.targets:
        values = targets[target.name]
        if target.kind == "multilabel":
            parts.append(values)
        elif target.kind != "regression":
            parts.append((values[:, None] == np.arange(len(target.classes))).astype(np.float32))
    return np.hstack(parts)


def find_values(task: Task, targets: Mapping[str, np.ndarray]) -> np.ndarray:
    """(U, R) float64: the targets that are numbers, side by side."""
    count = len(next(iter(targets.values())))
    numbers = [targets[target.name].reshape(count, -1) for target in task.targets if target.kind == "regression"]
    return np.hstack([np.zeros((count, 0)), *numbers]).astype(np.float64)
