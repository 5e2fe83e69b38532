"""P x K batches for metric learning: P classes, K images of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import PluginError, Sampler, Task, plugin

from ._classes import Deck, combine_classes, group_rows


@plugin("sampler")
def pk(task: Task, targets: Mapping[str, np.ndarray], batch_size: int, /, *, classes: int = 8, images: int = 4) -> Sampler:
    """Batches of P classes with K images each (Hermans et al. 2017, "In defense of the triplet loss", section 2).

    Classes take turns in random order, never twice in a batch; a class's images are all shown before one is shown again, so
    that a class of fewer than K repeats some in its batch. An epoch has as many whole batches as the fold's training part fills,
    at least one. Several targets: the classes are their combinations (targets that are numbers left out).

    Args:
        classes: P, from 1; P times K must be train.batch_size.
        images: K, from 1.

    Raises:
        PluginError: P times K is not the batch size; the training part has fewer classes than P; a target holds label sets, or
            no target has classes.

    Example: {use: pk, classes: 8, images: 4}
    """
    if classes < 1 or images < 1 or classes * images != batch_size:
        raise PluginError(
            f"sampler.classes x sampler.images is {classes} x {images}; wanted numbers from 1 on whose product is "
            f"train.batch_size, {batch_size}"
        )
    groups = group_rows(combine_classes(task, targets, "pk"))
    if len(groups) < classes:
        raise PluginError(f"sampler.classes is {classes}, but the fold's training rows have {len(groups)} classes")
    batches = max(1, sum(map(len, groups)) // batch_size)

    def draw(generator: np.random.Generator) -> np.ndarray:
        decks, turns = [Deck(rows, generator) for rows in groups], Deck(np.arange(len(groups)), generator)
        order = [decks[number].take(images) for _ in range(batches) for number in turns.take(classes)]
        return np.array(order, dtype=np.int64).reshape(-1)

    return draw
