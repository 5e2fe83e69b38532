"""Batches in which every class stands equally often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import Sampler, Task, plugin

from ._classes import Deck, combine_classes, group_rows


@plugin("sampler")
def balanced_batches(task: Task, targets: Mapping[str, np.ndarray], batch_size: int, /) -> Sampler:
    """Class-balanced batches: in each, classes differ by at most one row; with more classes than rows they take turns.

    A class's rows are all shown, in random order, before one is shown again. An epoch has as many whole batches as the fold's
    training part fills, at least one. Several targets: the classes are their combinations (targets that are numbers left out).

    Raises:
        PluginError: a target holds label sets, or no target has classes.

    Example: {use: balanced_batches}
    """
    groups = group_rows(combine_classes(task, targets, "balanced_batches"))
    batches = max(1, sum(map(len, groups)) // batch_size)
    each, over = divmod(batch_size, len(groups))

    def draw(generator: np.random.Generator) -> np.ndarray:
        decks, turns = [Deck(rows, generator) for rows in groups], Deck(np.arange(len(groups)), generator)
        order = []
        for _ in range(batches):
            counts = np.bincount(turns.take(over), minlength=len(groups)) + each
            rows = [row for number in np.flatnonzero(counts).tolist() for row in decks[number].take(int(counts[number]))]
            order.append(generator.permutation(np.array(rows, dtype=np.int64)))
        return np.concatenate(order)

    return draw
