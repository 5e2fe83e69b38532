"""A branch for each target, on shared features."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def multitarget(
    task: Task,
    features: int,
    /,
    *,
    hidden: int | None = None,
    dropout: float = 0.0,
    init: Literal["zero", "small", "default"] = "zero",
) -> Head:
    """One branch per target, (B, features) -> (B, outputs), side by side in the task's order.

    Args:
        hidden: width of a hidden ReLU layer in every branch, from 1; null: a branch is one linear layer.
        dropout: share of what enters a branch's last layer dropped in training, in [0, 1).
        init: how the last layers' weights start. zero: at 0; small: normal with standard deviation 0.01; default: torch's
            own, whose first logits are so large that fine-tuning a pretrained backbone suffers.

    Raises:
        PluginError: a parameter is out of its range.
    """
    if hidden is not None and hidden < 1:
        raise PluginError(f"head.hidden is {hidden}; wanted 1 or more units, or null")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    return Branches([make_branch(features, target.width, hidden, dropout, init) for target in task.targets])


class Branches(nn.Module):
    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        # Numbered, not named: a column's name may hold dots, which torch refuses.
        self.branches = nn.ModuleList(branches)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(features) for branch in self.branches], dim=1)


def make_branch(features: int, outputs: int, hidden: int | None, dropout: float, init: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    if hidden is not None:
        inner = nn.Linear(features, hidden)
        nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")
        nn.init.zeros_(inner.bias)
        layers = [inner, nn.ReLU()]
    last = nn.Linear(hidden or features, outputs)
    if init != "default":
        nn.init.normal_(last.weight, std={"zero": 0.0, "small": 0.01}[init])
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.Dropout(dropout), last)
