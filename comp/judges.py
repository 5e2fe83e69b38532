"""Judges: the metric that decides, in the form in which blends and posts are given it (comp.api.Score)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from comp.api import Metric, MetricUndefined, Task
from comp.scores import score_rows


@dataclass(frozen=True)
class TaskJudge:
    """A Score of a whole task: the mean over its targets. `metrics`: target -> metric."""

    task: Task
    metrics: Mapping[str, Metric]

    def __call__(self, targets: Mapping[str, np.ndarray], predictions: np.ndarray) -> float:
        found = score_rows(self.task, "score", self.metrics, targets, predictions).get("score")
        greater = next(iter(self.metrics.values())).greater_is_better
        return -math.inf if found is None else found if greater else -found

    def by_class(self, targets: Mapping[str, np.ndarray], predictions: np.ndarray) -> np.ndarray | None:
        if len(self.task.targets) > 1:
            return None
        [(name, metric)] = self.metrics.items()
        return TargetJudge(metric).by_class(targets[name], predictions)


@dataclass(frozen=True)
class TargetJudge:
    """A Score of one target."""

    metric: Metric

    def __call__(self, targets: np.ndarray, predictions: np.ndarray) -> float:
        try:
            found = float(self.metric.compute(targets, predictions))
        except MetricUndefined:
            return -math.inf
        return -math.inf if not math.isfinite(found) else found if self.metric.greater_is_better else -found

    def by_class(self, targets: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        if self.metric.per_class is None:
            return None
        scores = np.asarray(self.metric.per_class(targets, predictions), dtype=np.float64)
        return scores if self.metric.greater_is_better else -scores
