"""A linear layer behind several dropout masks at once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def multi_sample_dropout(
    task: Task,
    features: int,
    /,
    *,
    samples: int = 5,
    dropout: float = 0.5,
    init: Literal["zero", "small", "default"] = "zero",
) -> Head:
    """One linear layer on several dropped-out copies of the features, (B, features) -> (B, outputs) (Inoue 2019).

    The paper averages the copies' losses; here it is their outputs, so that any loss fits. In prediction it is a linear layer.

    Args:
        samples: number of dropout masks, from 1.
        dropout: share of the features dropped in each copy in training, in [0, 1).
        init: how the layer's weights start. zero: at 0; small: normal with standard deviation 0.01; default: torch's own,
            whose first logits are so large that fine-tuning a pretrained backbone suffers.

    Raises:
        PluginError: samples or dropout is out of its range.

    Example: {use: multi_sample_dropout, samples: 5, dropout: 0.5}
    """
    if samples < 1:
        raise PluginError(f"head.samples is {samples}; wanted 1 or more")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    layer = nn.Linear(features, task.outputs)
    if init != "default":
        nn.init.normal_(layer.weight, std={"zero": 0.0, "small": 0.01}[init])
        nn.init.zeros_(layer.bias)
    return MultiSampleDropout(layer, samples, dropout)


class MultiSampleDropout(nn.Module):
    def __init__(self, layer: nn.Linear, samples: int, dropout: float) -> None:
        super().__init__()
        self.layer = layer
        self.samples = samples
        self.drop = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.layer(features)
        # The layer is linear: the mean of its outputs is its output for the mean of the copies, at the price of one.
        return self.layer(self.drop(features.expand(self.samples, *features.shape)).mean(dim=0))
