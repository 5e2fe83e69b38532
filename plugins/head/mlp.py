"""A hidden layer between features and outputs."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def mlp(
    task: Task,
    features: int,
    /,
    *,
    hidden: int = 512,
    dropout: float = 0.5,
    input_dropout: float = 0.0,
    activation: Literal["relu", "gelu", "silu"] = "relu",
    l2: float = 0.0,
    init: Literal["zero", "small", "default"] = "zero",
) -> Head:
    """Dense, activation, dropout, dense: (B, features) -> (B, outputs). The hidden layer starts as He et al. 2015 (eq. 10).

    Args:
        hidden: width of the hidden layer, from 1.
        dropout: share of the hidden units dropped in training, in [0, 1).
        input_dropout: share of the features dropped in training, in [0, 1).
        activation: of the hidden layer.
        l2: how much the sum of the squares of the hidden layer's weights (not its biases) adds to the loss, from 0. Unlike the
            optimizer's weight_decay it is for this layer alone.
        init: how the last layer's weights start. zero: at 0; small: normal with standard deviation 0.01; default: torch's
            own, whose first logits are so large that fine-tuning a pretrained backbone suffers.

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: mlp, hidden: 512, dropout: 0.5, l2: 1.0e-3}
    """
    if hidden < 1:
        raise PluginError(f"head.hidden is {hidden}; wanted 1 or more units")
    for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
        if not 0 <= share < 1:
            raise PluginError(f"head.{name} is {share}; wanted a share in [0, 1)")
    if l2 < 0:
        raise PluginError(f"head.l2 is {l2}; wanted 0 or more")
    inner = nn.Linear(features, hidden) if l2 == 0 else PenalisedLinear(features, hidden, l2)
    nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")
    nn.init.zeros_(inner.bias)
    unit = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}[activation]
    return nn.Sequential(
        nn.Dropout(input_dropout), inner, unit(), nn.Dropout(dropout), make_output_layer(hidden, task.outputs, init)
    )  # fmt: skip


class PenalisedLinear(nn.Linear):
    def __init__(self, features: int, hidden: int, l2: float) -> None:
        super().__init__(features, hidden)
        self.l2 = l2

    def penalty(self) -> torch.Tensor:
        return self.l2 * self.weight.square().sum()


def make_output_layer(features: int, outputs: int, init: str) -> nn.Linear:
    layer = nn.Linear(features, outputs)
    if init != "default":
        nn.init.normal_(layer.weight, std={"zero": 0.0, "small": 0.01}[init])
        nn.init.zeros_(layer.bias)
    return layer
