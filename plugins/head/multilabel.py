"""A linear layer whose first answers are the labels' frequencies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def multilabel(task: Task, features: int, counts: Mapping[str, np.ndarray], rows: int, /, *, dropout: float = 0.0) -> Head:
    """A linear layer for label sets, (B, features) -> (B, outputs), that starts at each label's log-odds.

    Weights start at 0 and the bias at log(f / (1 - f)) (the prior of Lin et al. 2017, section 4.1): from a bias of 0, where
    every label is set with probability 1/2, hundreds of steps go into learning that most labels are rare. A label's
    frequency f is the share of the training rows that have it.

    Args:
        dropout: share of the features dropped in training, in [0, 1).

    Raises:
        PluginError: no target holds label sets, or dropout is out of its range.

    Example: {use: multilabel, dropout: 0.2}
    """
    if not any(target.kind == "multilabel" for target in task.targets):
        raise PluginError(f"head multilabel wants label sets; the task is {task.kind}: use linear, mlp or multitarget")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    layer = nn.Linear(features, task.outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for target in task.targets:
            if target.kind == "multilabel":
                start = log_odds(counts[target.name], rows)
                layer.bias[task.slices[target.name]] = torch.as_tensor(start, dtype=torch.float32)
    return nn.Sequential(nn.Dropout(dropout), layer)


def log_odds(counts: np.ndarray, rows: int) -> np.ndarray:
    """(L,) log-odds of each label. One row with and one without the label are added, so that both ends stay finite."""
    return np.log((counts + 1) / (rows - counts + 1))
