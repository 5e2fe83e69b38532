"""Further mirror images, for pictures that have no top (from above, through a microscope)."""

from __future__ import annotations

import torch

from comp.api import View, plugin


@plugin("tta")
def vflip() -> dict[str, View]:
    """The image mirrored top to bottom, averaged with the plain view.

    Example: {use: vflip}
    """
    return {"vflip": mirror_down}


@plugin("tta")
def rotations() -> dict[str, View]:
    """The image turned by 90, 180 and 270 degrees, averaged with the plain view. Height and width are exchanged by two of them.

    Example: {use: rotations}
    """
    return {"turn90": turn_once, "turn180": turn_twice, "turn270": turn_thrice}


def mirror_down(images: torch.Tensor) -> torch.Tensor:
    return images.flip(2)


def turn_once(images: torch.Tensor) -> torch.Tensor:
    return images.rot90(1, (2, 3))


def turn_twice(images: torch.Tensor) -> torch.Tensor:
    return images.rot90(2, (2, 3))


def turn_thrice(images: torch.Tensor) -> torch.Tensor:
    return images.rot90(3, (2, 3))
