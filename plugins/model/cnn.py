"""The plain convolutional network, for small images and from scratch."""

from __future__ import annotations

import torch
from torch import nn

from comp.api import Backbone, ImageSpec, PluginError, plugin


@plugin("model")
def cnn(
    image: ImageSpec,
    /,
    *,
    widths: list[int] = [64, 64, 128, 128],  # noqa: B006  a manifest's list; read only
    hidden: int = 512,
    dropout: float = 0.5,
    batch_norm: bool = True,
    grid: int = 4,
) -> Backbone:
    """3 x 3 convolutions, each with ReLU and a max-pool of 2, then dropout and a dense ReLU layer.

    Features are (B, hidden). With batch_norm false and a grid as large as the last map this is the textbook network:
    conv, ReLU, pool, ..., flatten, dropout, dense. It predicts at the size it was trained at: its dense layer knows positions.

    Args:
        widths: channels of each convolution; each halves the image, so it must have 2^len(widths) pixels or more.
        hidden: width of the dense layer, from 1: the number of features.
        dropout: share of what enters the dense layer dropped in training, in [0, 1).
        batch_norm: whether a batch norm follows each convolution (Ioffe & Szegedy 2015).
        grid: rows and columns that are flattened at most; a larger last map is averaged down to it.

    Raises:
        PluginError: the image is too small for so many convolutions, or a parameter is out of its range.

    Example: {use: cnn, widths: [64, 64, 128, 128], hidden: 512}
    """
    if not widths or min(widths) < 1 or hidden < 1 or grid < 1:
        raise PluginError(f"model cnn wants widths, hidden and grid of 1 or more; given {widths}, {hidden} and {grid}")
    if not 0 <= dropout < 1:
        raise PluginError(f"model.dropout is {dropout}; wanted a share in [0, 1)")
    if min(image.size) < 2 ** len(widths):
        raise PluginError(
            f"model cnn halves the image {len(widths)} times, so it needs {2 ** len(widths)} px; image.size is "
            f"{image.size[0]} x {image.size[1]}: raise image.size, or give fewer model.widths"
        )
    return Cnn(image, list(widths), hidden, dropout, batch_norm, grid)


class Cnn(nn.Module):
    any_size = False

    def __init__(self, image: ImageSpec, widths: list[int], hidden: int, dropout: float, batch_norm: bool, grid: int) -> None:
        super().__init__()
        self.features = hidden
        self.mean = (0.5,) * image.channels
        self.std = (0.5,) * image.channels
        blocks: list[nn.Module] = []
        for before, width in zip([image.channels, *widths], widths, strict=False):
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=not batch_norm)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            if not batch_norm:
                nn.init.zeros_(convolution.bias)
            blocks += [convolution, *([nn.BatchNorm2d(width)] if batch_norm else []), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*blocks)
        rows, columns = (min(grid, side // 2 ** len(widths)) for side in image.size)
        self.pool = nn.AdaptiveAvgPool2d((rows, columns))
        self.dense = nn.Linear(widths[-1] * rows * columns, hidden)
        nn.init.kaiming_normal_(self.dense.weight, nonlinearity="relu")
        nn.init.zeros_(self.dense.bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.dense(self.drop(self.pool(self.body(images)).flatten(1))))
