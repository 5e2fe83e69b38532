"""Images and a row's own columns together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from comp.api import Backbone, ImageSpec, PluginError, Spec, plugin


@plugin("model")
def fusion(
    image: ImageSpec,
    table_width: int,
    build: Callable[..., Backbone],
    /,
    *,
    backbone: Spec,
    hidden: int = 64,
    dropout: float = 0.1,
) -> Backbone:
    """A backbone's features of the image beside a small network's of the row's columns (dataset.columns).

    (B, C, H, W) images and (B, table_width) float columns -> (B, backbone's features + hidden).

    Args:
        backbone: the model of the image.
        hidden: width of the columns' two layers, from 1: so many features come from the columns.
        dropout: share of the columns' hidden units dropped in training, in [0, 1).

    Raises:
        PluginError: the rows have no columns, or a parameter is out of its range.

    Example: {use: fusion, backbone: {use: timm, arch: resnet18, pretrained: true}, hidden: 64}
    """
    if table_width < 1:
        raise PluginError("model fusion wants columns beside the image; name them in dataset.columns, or use its backbone alone")
    if hidden < 1:
        raise PluginError(f"model.hidden is {hidden}; wanted 1 or more")
    if not 0 <= dropout < 1:
        raise PluginError(f"model.dropout is {dropout}; wanted a share in [0, 1)")
    inner = build(backbone, image=image)
    if getattr(inner, "takes_table", False):
        raise PluginError("model.backbone of fusion takes the table itself; give a model of images alone")
    return Fusion(inner, table_width, hidden, dropout)


class Fusion(nn.Module):
    takes_table = True

    def __init__(self, backbone: Backbone, table_width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.columns = nn.Sequential(
            nn.Linear(table_width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()
        )
        for layer in (self.columns[0], self.columns[3]):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.features = backbone.features + hidden
        self.mean, self.std, self.any_size = backbone.mean, backbone.std, backbone.any_size

    def forward(self, images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.backbone(images), self.columns(table)], dim=1)
