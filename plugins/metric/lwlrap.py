"""Label-weighted label-ranking average precision."""

from __future__ import annotations

import numpy as np

from comp.api import Metric, MetricUndefined, Task, plugin

from ._classes import demand_sets, divide


@plugin("metric")
def lwlrap(task: Task, /) -> Metric:
    """LwLRAP (Freesound 2019): the mean, over every label of every unit, of the precision at that label's rank in the unit.

    Equal probabilities share the last of their ranks. Called with (N, L) 0/1 labels and probabilities. By class: the mean over
    the units that have the label.

    Raises:
        PluginError: the target is no set of labels.
        MetricUndefined: no scored unit has a label.

    Example: {use: lwlrap}
    """
    target = task.target
    demand_sets(target, "lwlrap", "map_at_k")

    def compute(answers: np.ndarray, predictions: np.ndarray) -> float:
        there = answers >= 0.5
        if not there.any():
            raise MetricUndefined(f"lwlrap: no scored unit has a label of {target.name!r}")
        return float(measure_ranks(there, predictions)[there].mean())

    def per_class(answers: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        there = answers >= 0.5
        return divide((measure_ranks(there, predictions) * there).sum(axis=0), there.sum(axis=0))

    return Metric(compute=compute, per_class=per_class)


def measure_ranks(there: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(N, L) for each label: how many of the labels ranked no lower are there, as a share."""
    width = there.shape[1]
    order = np.argsort(-predictions, axis=1, kind="stable")
    ranked = np.take_along_axis(predictions, order, axis=1)
    ends = np.ones(ranked.shape, dtype=bool)
    ends[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    # Of equal labels all stand at the last one's rank.
    last = np.minimum.accumulate(np.where(ends, np.arange(width), width)[:, ::-1], axis=1)[:, ::-1]
    hits = np.cumsum(np.take_along_axis(there, order, axis=1), axis=1)
    found = np.empty(ranked.shape)
    np.put_along_axis(found, order, np.take_along_axis(hits, last, axis=1) / (last + 1), axis=1)
    return found
