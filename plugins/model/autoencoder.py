"""An autoencoder in front of another model: large images in, a code of a quarter of their side, and that model on the code.

Meant for two stages: first `objective: {use: reconstruction}`, which needs no labels, then classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from comp.api import Backbone, ImageSpec, PluginError, Spec, plugin

CODE_CHANNELS = 3
REDUCTION = 4


@plugin("model")
def autoencoder(
    image: ImageSpec, build: Callable[..., Backbone], /, *, backbone: Spec, widths: list[int] = [16, 8]  # noqa: B006  read only
) -> Backbone:
    """A convolutional encoder to a code of 3 channels and a quarter of the side (896 px -> 224 px), then any model on the code.

    Encoder: two convolutions of widths[0], max-pool, one of widths[1], one of 3, max-pool. Decoder: two of widths[1],
    doubled, two of widths[0], doubled, one with a sigmoid to the image's channels. All are 3 x 3 with batch norm and ReLU.
    Images are seen on the scale 0..1. `reconstruct(images)` returns the reconstruction and what is wanted of it, both
    (B, C, H, W) in 0..1; `encode(images)` the code (B, 3, H // 4, W // 4), from 0 on.

    Args:
        backbone: the model that is given the code as its image.
        widths: channels of the outer and of the inner convolutions, from 1.

    Raises:
        PluginError: the image is smaller than 4 px, or widths are not two numbers from 1.

    Example: {use: autoencoder, backbone: {use: timm, arch: resnet50, pretrained: true}}
    """
    if len(widths) != 2 or min(widths) < 1:
        raise PluginError(f"model.widths is {widths}; wanted two numbers of 1 or more, as in [16, 8]")
    if min(image.size) < REDUCTION:
        raise PluginError(f"model autoencoder divides the sides by {REDUCTION}; image.size is {image.size[0]} x {image.size[1]}")
    small = {name: tuple(side // REDUCTION for side in getattr(image, name)) for name in ("size", "predict_size")}
    inner = build(backbone, image=replace(image, channels=CODE_CHANNELS, mean=None, std=None, **small))
    if getattr(inner, "takes_table", False):
        raise PluginError("model.backbone of autoencoder takes a table of columns; nest them the other way: a fusion of it")
    return Autoencoder(image, inner, *widths)


class Autoencoder(nn.Module):
    def __init__(self, image: ImageSpec, backbone: Backbone, outer: int, inner: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *convolve(image.channels, outer), *convolve(outer, outer), nn.MaxPool2d(2),
            *convolve(outer, inner), *convolve(inner, CODE_CHANNELS), nn.MaxPool2d(2),
        )  # fmt: skip
        self.from_code = nn.Sequential(*convolve(CODE_CHANNELS, inner), *convolve(inner, inner))
        self.from_half = nn.Sequential(*convolve(inner, outer), *convolve(outer, outer))
        self.to_image = nn.Conv2d(outer, image.channels, 3, padding=1)
        self.backbone = backbone
        self.features, self.any_size = backbone.features, backbone.any_size
        self.mean, self.std = (0.0,) * image.channels, (1.0,) * image.channels
        # What the images are normalised with, so that they can be brought back to 0..1.
        for name, values in (("shift", image.mean or self.mean), ("scale", image.std or self.std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.backbone(self.encode(images))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self.encoder(images * self.scale + self.shift)

    def reconstruct(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = images.shape[2:]
        # To the very sizes that the max-pools had, where a side is not a multiple of 4.
        half = F.interpolate(self.from_code(self.encode(images)), (height // 2, width // 2))
        full = F.interpolate(self.from_half(half), (height, width))
        return torch.sigmoid(self.to_image(full).float()), images * self.scale + self.shift


def convolve(before: int, width: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
