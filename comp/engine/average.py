"""Average: the running mean of a network's weights, which is validated, saved and predicts in its stead."""

from __future__ import annotations

import torch
from timm.utils import ModelEmaV3
from torch import nn

HORIZON = 0.1  # of the stage's steps
FROM_STEPS = 500


class WeightAverage(ModelEmaV3):
    """timm's average of everything in the state_dict, with a decay that warms up to a horizon of a tenth of the steps.

    timm gathers both state_dicts anew at every step, which takes far longer than the averaging itself (of a small mobilenet
    1.4 ms against 0.3); here the tensors are listed once.
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__(network, decay=1 - 1 / max(2.0, HORIZON * steps), use_warmup=True)
        kept = network.state_dict().keys()
        mine, theirs = list_tensors(self.module), list_tensors(network)
        pairs = [(own, other) for (name, own), (_, other) in zip(mine, theirs, strict=True) if name in kept]
        self._averaged = [list(side) for side in zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        own, other = self._averaged
        torch._foreach_lerp_(own, other, weight=1 - decay)
        for count, theirs in self._copied:
            count.copy_(theirs)


def start_average(asked: bool | str, network: nn.Module, steps: int) -> WeightAverage | None:
    """The running average of the weights; `auto` takes one where the stage is long enough to have a horizon."""
    if asked is False or (asked == "auto" and steps < FROM_STEPS):
        return None
    return WeightAverage(network, steps)


def list_tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
