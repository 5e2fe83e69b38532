"""MAP@k: mean average precision of the k likeliest answers."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, PluginError, Task, plugin

from ._classes import demand_classes, rank_answers


@plugin("metric")
def map_at_k(task: Task, /, *, k: int = 5) -> Metric:
    """Mean over the units of: precision at each hit's rank among the k likeliest, summed, over min(number right, k).

    One class per unit: 1 / rank of the right class, 0 beyond k. As Kaggle has it, a unit without labels scores 0. Of equal
    probabilities the first class ranks first. Called with (N,) int classes or (N, L) 0/1 labels, and (N, K) probabilities.

    Args:
        k: how many answers a unit may have, from 1.

    Raises:
        PluginError: the target is a number, or k is below 1.

    Example: {use: map_at_k, k: 5}
    """
    target = task.target
    demand_classes(target, "map_at_k")
    if k < 1:
        raise PluginError(f"metric.k is {k}; wanted 1 or more")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        if target.kind != "multilabel":
            ranks = rank_answers(answers, predictions)
            return float(np.where(ranks <= k, 1 / ranks, 0.0).mean())
        right = answers >= 0.5
        best = np.argsort(-predictions, axis=1, kind="stable")[:, :k]
        hits = np.take_along_axis(right, best, axis=1)
        precision = np.cumsum(hits, axis=1) / np.arange(1, best.shape[1] + 1)
        return float(((hits * precision).sum(axis=1) / np.clip(right.sum(axis=1), 1, k)).mean())

    return Metric(compute=compute)
