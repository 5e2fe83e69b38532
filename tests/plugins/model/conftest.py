"""Nested models: `build` as the kit supplies it, and a backbone whose features can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from comp.api import ImageSpec


class Means(nn.Module):
    """Features: the mean and the maximum of each channel."""

    any_size = True

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        self.image, self.features, self.seen = image, 2 * image.channels, []
        self.mean, self.std = (0.5,) * image.channels, (0.25,) * image.channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        return torch.cat([images.mean(dim=(2, 3)), images.amax(dim=(2, 3))], dim=1)


@pytest.fixture
def build() -> Callable[..., Any]:
    """`build(spec, image=…)`: Means, or the same calling for a table."""

    def make(spec: dict[str, Any], image: ImageSpec) -> Means:
        network = Means(image)
        network.takes_table = spec["use"] == "table"
        return network

    return make
