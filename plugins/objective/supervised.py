"""The plain objective: one forward pass, the loss of the targets, mixed images weighed by what they show."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from comp.api import Batch, Mixed, Objective, plugin


@plugin("objective")
def supervised() -> Objective:
    """Mean over the targets of the mean over the rows of weight * loss.

    A mixed row's loss is share * own weight * loss(own target) + (1 - share) * partner's weight * loss(partner's target).
    Rows are divided by their number, not by the sum of their weights: a batch of light rows is a small step.
    """
    return take_step


def take_step(
    network: nn.Module,
    batch: Batch,
    mixed: Mixed | None,
    loss: Callable[[torch.Tensor, dict[str, torch.Tensor]], dict[str, torch.Tensor]],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    outputs = network(batch.images if mixed is None else mixed.images)
    rows = {name: batch.weights * losses for name, losses in loss(outputs, batch.targets).items()}
    if mixed is not None:
        theirs = loss(outputs, {name: target[mixed.partner] for name, target in batch.targets.items()})
        weights = batch.weights[mixed.partner]
        rows = {name: mixed.share * own + (1 - mixed.share) * weights * theirs[name] for name, own in rows.items()}
    parts = {name: losses.mean() for name, losses in rows.items()}
    return torch.stack(list(parts.values())).mean(), {name: part.detach() for name, part in parts.items()}
