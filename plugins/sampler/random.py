"""Epochs of a length of one's own: so many batches of rows drawn at random."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import PluginError, Sampler, plugin


@plugin("sampler")
def random(targets: Mapping[str, np.ndarray], batch_size: int, /, *, batches: int = 50, replacement: bool = False) -> Sampler:
    """So many batches an epoch, of rows drawn at random: Keras's steps_per_epoch.

    Args:
        batches: how many batches of train.batch_size rows make an epoch, from 1.
        replacement: whether a row may come again before all others have come; false: an epoch longer than the data is passes
            over them, each in another order.

    Raises:
        PluginError: batches is below 1.

    Example: {use: random, batches: 50}
    """
    if batches < 1:
        raise PluginError(f"sampler.batches is {batches}; wanted 1 or more")
    rows, wanted = len(next(iter(targets.values()))), batches * batch_size

    def draw(generator: np.random.Generator) -> np.ndarray:
        if replacement:
            return generator.integers(rows, size=wanted)
        return np.concatenate([generator.permutation(rows) for _ in range(-(-wanted // rows))])[:wanted]

    return draw
