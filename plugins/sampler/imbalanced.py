"""Rows drawn so that every class is shown equally often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from comp.api import PluginError, Sampler, Task, plugin


@plugin("sampler")
def imbalanced(task: Task, targets: Mapping[str, np.ndarray], /) -> Sampler:
    """torchsampler's ImbalancedDatasetSampler: rows drawn with replacement, each with weight 1 / (rows of its class).

    An epoch has as many rows as the fold's training part. Several targets: the classes are their combinations (targets
    that are numbers left out).

    Raises:
        PluginError: a target holds label sets, or no target has classes.
    """
    sets = [target.name for target in task.targets if target.kind == "multilabel"]
    if sets:
        raise PluginError(
            f"sampler imbalanced balances classes, and {', '.join(sets)} holds label sets: use {{use: none}}, or a loss with "
            "pos_weight or alpha"
        )
    columns = [targets[target.name] for target in task.targets if target.classes]
    if not columns:
        raise PluginError("sampler imbalanced balances classes, and the targets are numbers: use {use: none}")

    from torchsampler import ImbalancedDatasetSampler

    _, labels = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    weights = ImbalancedDatasetSampler(range(len(labels)), labels=labels.reshape(-1).tolist()).weights

    def draw(generator: np.random.Generator) -> np.ndarray:
        # The sampler's own iterator draws the same rows, but from torch's global generator (and ten times slower).
        seeded = torch.Generator().manual_seed(int(generator.integers(2**62)))
        return torch.multinomial(weights, len(weights), replacement=True, generator=seeded).numpy()

    return draw
