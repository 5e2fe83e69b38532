"""Several images per answer: one backbone sees each of them, and their features are pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from comp.api import Backbone, ImageSpec, PluginError, Spec, plugin


@plugin("model")
def multi_image(
    image: ImageSpec,
    build: Callable[..., Backbone],
    /,
    *,
    backbone: Spec,
    views: int,
    pool: Literal["mean", "max", "concat", "attention"] = "mean",
    hidden: int = 128,
) -> Backbone:
    """One backbone on each of a row's images, which the dataset has stacked along the channels (stack, bag, neighbours).

    (B, views * c, H, W) -> (B, features). An image that is one colour all over is padding: it never enters the backbone, and
    has no share in mean, max and attention; concat has zeros in its place. A row of padding alone is taken as it is.

    Args:
        backbone: the model of each image.
        views: how many images a row has at most, from 1; divides image.channels.
        pool: mean, max: over the images; concat: side by side, for images that have an order; attention: a weighted mean with
            learned weights (gated attention, Ilse et al. 2018, eq. 9).
        hidden: width of the layer that weighs the images, from 1; for attention.

    Raises:
        PluginError: views does not divide the channels, a parameter is out of its range, or the backbone takes a table.

    Example: {use: multi_image, backbone: {use: timm, arch: resnet18, pretrained: true}, views: 2, pool: attention}
    """
    if views < 1 or hidden < 1:
        raise PluginError(f"model multi_image wants views and hidden of 1 or more; given {views} and {hidden}")
    if image.channels % views:
        raise PluginError(
            f"model.views is {views}, but image.channels is {image.channels}: wanted a divisor, the number of images that the "
            "dataset stacks (dataset.stack, bag or neighbours)"
        )
    channels = image.channels // views
    cut = {name: None if (all_ := getattr(image, name)) is None else all_[:channels] for name in ("mean", "std")}
    inner = build(backbone, image=replace(image, channels=channels, **cut))
    if getattr(inner, "takes_table", False):
        raise PluginError("model.backbone of multi_image takes a table of columns; nest them the other way: a fusion of it")
    return MultiImage(inner, views, pool, hidden)


class MultiImage(nn.Module):
    def __init__(self, backbone: Backbone, views: int, pool: str, hidden: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.views, self.pool = views, pool
        self.features = backbone.features * (views if pool == "concat" else 1)
        self.mean, self.std = tuple(backbone.mean) * views, tuple(backbone.std) * views
        self.any_size = backbone.any_size
        self.attention = GatedAttention(backbone.features, hidden) if pool == "attention" else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        views = images.unflatten(1, (self.views, -1))
        shown = views.amax(dim=(3, 4)).ne(views.amin(dim=(3, 4))).any(dim=2)
        shown = shown | ~shown.any(dim=1, keepdim=True)
        found = self.backbone(views[shown])
        features = found.new_zeros((*shown.shape, found.shape[1])).masked_scatter(shown[:, :, None], found)
        if self.pool == "concat":
            return features.flatten(1)
        if self.pool == "max":
            return features.masked_fill(~shown[:, :, None], -torch.inf).amax(dim=1)
        if self.attention is not None:
            shares = self.attention(features).masked_fill(~shown, -torch.inf).softmax(dim=1)
        else:
            shares = shown / shown.sum(dim=1, keepdim=True)
        return (shares[:, :, None] * features).sum(dim=1).to(features.dtype)


class GatedAttention(nn.Module):
    """(B, V, features) -> (B, V) float32 scores."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.score(torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features)))[:, :, 0].float()
