"""Crop, mirror, colour and erasing of whole batches where the network computes, for machines whose CPU is the limit."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from comp.api import DeviceAugment, ImageSpec, PluginError, plugin

GREY = (0.299, 0.587, 0.114)
ERASED = (0.3, 3.3)
"""Proportions of what is erased, width : height (Zhong et al. 2020)."""


@plugin("augment", on="device")
def on_device(
    image: ImageSpec,
    /,
    *,
    flip: float = 0.5,
    vertical: float = 0.0,
    scale: tuple[float, float] = (0.6, 1.0),
    ratio: tuple[float, float] = (0.75, 1.3333),
    brightness: float = 0.1,
    contrast: float = 0.1,
    saturation: float = 0.0,
    erase: float = 0.0,
    area: tuple[float, float] = (0.02, 0.33),
) -> DeviceAugment:
    """A crop resized to the training size, mirror images, colour and erased rectangles, done to whole batches on the device.

    The loader only gathers stored bytes then. It stands last in `augment`: what comes before it is done in the loader.

    Args:
        flip: share of the images that are mirrored left to right, in [0, 1]; 0 for digits, text, and left against right.
        vertical: share of the images that are turned upside down in a mirror, in [0, 1].
        scale: least and greatest share of the area that is kept, in (0, 1], drawn evenly; [1, 1] crops nothing.
        ratio: how far its sides are out of the image's own proportion, width : height, least and greatest, drawn evenly in
            their logarithm as far as the crop fits into the image.
        brightness: largest change of brightness, as a share, from 0 to 1.
        contrast: largest change of the distance to the image's mean grey, as a share, from 0 to 1.
        saturation: largest change of the distance to each pixel's own grey, as a share, from 0 to 1; images of 3 channels only.
        erase: share of the images that lose a rectangle, which becomes black, in [0, 1] (Zhong et al. 2020, random erasing).
        area: least and greatest share of the image that the rectangle takes, in (0, 1], drawn evenly.

    Raises:
        PluginError: a parameter is out of its range, or saturation of images that are not colour.

    Example: {use: on_device, flip: 0.5, scale: [0.6, 1.0], saturation: 0.1, erase: 0.25}
    """
    shares = {"flip": flip, "vertical": vertical, "erase": erase}
    shares |= {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise PluginError(f"augment.{name} is {value}; wanted 0 to 1")
    for name, (least, most) in {"scale": scale, "area": area, "ratio": ratio}.items():
        if not 0 < least <= most or (name != "ratio" and most > 1):
            upper = "" if name == "ratio" else ", and at most 1"
            raise PluginError(f"augment.{name} is [{least}, {most}]; wanted a least and a greatest number above 0{upper}")
    if saturation and image.channels != 3:
        raise PluginError(f"augment.saturation is of colours; these images have {image.channels} channels: leave it out")
    return DeviceChange(image.size, (flip, vertical), scale, ratio, (brightness, contrast, saturation), erase, area)


class DeviceChange:
    """What `on_device` builds. Parameters are worked out in numpy, float64, the same whatever the device."""

    draws = 14

    def __init__(
        self,
        size: tuple[int, int],
        mirrored: tuple[float, float],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        colour: tuple[float, float, float],
        erase: float,
        area: tuple[float, float],
    ) -> None:
        self.size, self.mirrored, self.scale, self.ratio = size, mirrored, scale, ratio
        self.colour, self.erase, self.area = colour, erase, area

    def __call__(self, images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
        """(B, C, H, W) in [0, 1] -> (B, C, height, width) in [0, 1]."""
        erased = draw_boxes(drawn[:, 10:14], self.area, ERASED) * (drawn[:, 9:10] < self.erase)
        factors = 1 + np.array(self.colour) * (2 * drawn[:, 6:9] - 1)
        # One copy to the device for all of them.
        table = torch.from_numpy(np.hstack([self.draw_views(drawn), factors, erased]).astype(np.float32))
        if images.device.type == "cuda":
            table = table.pin_memory()
        views, factors, erased = table.to(images.device, non_blocking=True).split((4, 3, 4), dim=1)
        images = look_through(images, views, self.size)
        if any(self.colour):
            images = change_colour(images, factors)
        return blacken(images, erased) if self.erase else images

    def draw_views(self, drawn: np.ndarray) -> np.ndarray:
        """(B, 4) float64: where each result's left and upper edge lie in the image, and its extent, as shares; that of a mirrored
        one is negative."""
        views = draw_boxes(drawn[:, 2:6], self.scale, self.ratio)
        for side, share in enumerate(self.mirrored):
            chosen = drawn[:, side] < share
            views[chosen, side] += views[chosen, side + 2]
            views[chosen, side + 2] *= -1
        return views


def draw_boxes(drawn: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]) -> np.ndarray:
    """(B, 4) float64: left, top, width and height of a box in each image, as shares of its sides. `drawn`: (B, 4).

    The area is even between the two of `scale`: a proportion is drawn from those that fit, instead of drawing until one does.
    """
    area = scale[0] + (scale[1] - scale[0]) * drawn[:, 0]
    least, most = np.maximum(np.log(ratio[0]), np.log(area)), np.minimum(np.log(ratio[1]), -np.log(area))
    shape = np.exp(least + np.maximum(most - least, 0) * drawn[:, 1])
    sides = np.minimum(np.sqrt(np.stack([area * shape, area / shape], axis=1)), 1)
    return np.hstack([(1 - sides) * drawn[:, 2:4], sides])


def look_through(images: torch.Tensor, views: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Each image as seen through its view (left, top, width, height), in `size`; between pixels linearly, as cv2 resizes.

    Images shrunk to less than two thirds are looked at in several points of each pixel: between them detail would be lost.
    """
    height, width = images.shape[2:]
    times = max(1, round(max(height / size[0], width / size[1])))
    places = []
    for axis, (pixels, wanted) in enumerate(((width, size[1]), (height, size[0]))):
        steps = (torch.arange(wanted * times, device=images.device) + 0.5) / (wanted * times)
        shares = views[:, axis, None] + views[:, axis + 2, None] * steps
        # Beyond the middle of the outermost pixels their own value goes on.
        places.append(2 * shares.clamp(0.5 / pixels, 1 - 0.5 / pixels) - 1)
    across, down = places
    shape = (len(images), size[0] * times, size[1] * times)
    grid = torch.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], dim=3)
    seen = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return functional.avg_pool2d(seen, times) if times > 1 else seen


def change_colour(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast and saturation by a factor (B, 3) each, one after another, cut off at 0 and 1 in the end."""
    channels = images.shape[1]
    shares = GREY if channels == 3 else (1 / channels,) * channels
    grey = sum(images[:, channel : channel + 1] * share for channel, share in enumerate(shares))
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    offset = (1 - contrast) * brightness * grey.mean(dim=(2, 3), keepdim=True)
    grey_part = (1 - saturation) * contrast * brightness * grey + offset
    return (images * (saturation * contrast * brightness)).add_(grey_part).clamp_(0, 1)


def blacken(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Pixels whose middle lies in the box (left, top, width, height) of their image become 0; a box without a side has none."""
    inside = []
    for axis, pixels in ((0, images.shape[3]), (1, images.shape[2])):
        middles = (torch.arange(pixels, device=images.device) + 0.5) / pixels
        first = boxes[:, axis, None]
        inside.append((middles >= first) & (middles < first + boxes[:, axis + 2, None]))
    across, down = inside
    return images.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0.0)
