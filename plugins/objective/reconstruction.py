"""Reconstruction: a model that draws its own input again, which takes no labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from comp.api import Batch, Mixed, Objective, plugin


@plugin("objective")
def reconstruction(*, rows: list[Literal["held_out", "test"]] = ["held_out", "test"]) -> Objective:  # noqa: B006  read only
    """Mean squared difference between images and what the model draws of them, for models with a `reconstruct` (autoencoder).

    No label is used, so that held-out and test images may take part.

    Args:
        rows: which images besides the fold's training rows.

    Example: {use: reconstruction, rows: [test]}
    """
    return Reconstruction(tuple(rows))


@dataclass(frozen=True)
class Reconstruction:
    rows: tuple[str, ...]

    def __call__(
        self, network: nn.Module, batch: Batch, mixed: Mixed | None, loss: Callable[..., dict[str, torch.Tensor]]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        drawn, wanted = network(batch.images if mixed is None else mixed.images, method="reconstruct")
        error = nn.functional.mse_loss(drawn, wanted)
        return error, {"reconstruction": error.detach()}
