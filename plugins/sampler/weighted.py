"""Rows drawn by the frequency of their class, from a little flatter than it is to all classes alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from comp.api import PluginError, Sampler, Task, plugin

from ._classes import combine_classes


@plugin("sampler")
def weighted(
    task: Task,
    targets: Mapping[str, np.ndarray],
    /,
    *,
    weights: Literal["sqrt", "effective", "balanced", "power"] = "sqrt",
    power: float = 0.5,
    beta: float = 0.999,
) -> Sampler:
    """Rows drawn with replacement, as many as the fold's training part has, each by a weight of its class of n rows.

    sqrt: n^-1/2 (Mahajan et al. 2018, section 2.2). effective: (1 - beta) / (1 - beta^n), the effective number of rows (Cui et
    al. 2019, eq. 2). balanced: 1 / n, every class alike. power: n^-power. Several targets: the classes are their combinations
    (targets that are numbers left out). Label sets: a row has the weight of its rarest label, and of none the smallest.

    Args:
        weights: sqrt, effective, balanced or power.
        power: of `power`, from 0 (as the data are) to 1 (balanced) and beyond.
        beta: of `effective`, in [0, 1): 0 as the data are, near 1 balanced.

    Raises:
        PluginError: power or beta is out of its range; label sets beside other targets; no target has classes.

    Example: {use: weighted, weights: effective, beta: 0.99}
    """
    if power < 0:
        raise PluginError(f"sampler.power is {power}; wanted 0 or more")
    if not 0 <= beta < 1:
        raise PluginError(f"sampler.beta is {beta}; wanted a number in [0, 1)")

    def weigh(counts: np.ndarray) -> np.ndarray:
        if weights == "effective":
            return (1 - beta) / (1 - beta ** counts.astype(np.float64))
        return counts ** -{"sqrt": 0.5, "balanced": 1.0, "power": power}[weights]

    if len(task.targets) == 1 and task.target.kind == "multilabel":
        labels = targets[task.target.name] > 0
        of_label = weigh(np.maximum(labels.sum(axis=0), 1))
        of_row = np.where(labels, of_label, of_label.min()).max(axis=1)
    else:
        _, classes, counts = np.unique(combine_classes(task, targets, "weighted"), return_inverse=True, return_counts=True)
        of_row = weigh(counts)[classes]
    chances = of_row / of_row.sum()
    return lambda generator: generator.choice(len(chances), len(chances), p=chances)
