"""Rows drawn so that every class is shown equally often."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

import numpy as np
import torch

from comp.api import Sampler, Task, plugin

from ._classes import combine_classes


@plugin("sampler")
def imbalanced(task: Task, targets: Mapping[str, np.ndarray], /) -> Sampler:
    """torchsampler's ImbalancedDatasetSampler: rows drawn with replacement, each with weight 1 / (rows of its class).

    An epoch has as many rows as the fold's training part. Several targets: the classes are their combinations (targets
    that are numbers left out).

    Raises:
        PluginError: a target holds label sets, or no target has classes.

    Example: {use: imbalanced}
    """
    classes = combine_classes(task, targets, "imbalanced")

    # torchsampler reads its own metadata when imported, and a key that it lacks is an error once importlib_metadata (which
    # mlflow brings) has put itself in the standard library's place. Nothing here wants what that module holds.
    sys.modules.setdefault("torchsampler.__about__", ModuleType("torchsampler.__about__"))
    from torchsampler import ImbalancedDatasetSampler

    weights = ImbalancedDatasetSampler(range(len(classes)), labels=classes.tolist()).weights

    def draw(generator: np.random.Generator) -> np.ndarray:
        # The sampler's own iterator draws the same rows, but from torch's global generator (and ten times slower).
        seeded = torch.Generator().manual_seed(int(generator.integers(2**62)))
        return torch.multinomial(weights, len(weights), replacement=True, generator=seeded).numpy()

    return draw
