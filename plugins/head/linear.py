"""One linear layer from features to outputs."""

from __future__ import annotations

from typing import Literal

from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def linear(task: Task, features: int, /, *, dropout: float = 0.0, init: Literal["zero", "small", "default"] = "zero") -> Head:
    """A linear layer, (B, features) -> (B, outputs).

    Args:
        dropout: share of the features dropped in training, in [0, 1).
        init: how the layer's weights start. zero: at 0; small: normal with standard deviation 0.01; default: torch's own,
            whose first logits are so large that fine-tuning a pretrained backbone suffers.

    Raises:
        PluginError: dropout is out of its range.

    Example: {use: linear, dropout: 0.2}
    """
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    return nn.Sequential(nn.Dropout(dropout), make_output_layer(features, task.outputs, init))


def make_output_layer(features: int, outputs: int, init: str) -> nn.Linear:
    layer = nn.Linear(features, outputs)
    if init != "default":
        nn.init.normal_(layer.weight, std={"zero": 0.0, "small": 0.01}[init])
        nn.init.zeros_(layer.bias)
    return layer
