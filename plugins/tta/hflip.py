"""The mirrored view."""

from __future__ import annotations

import torch

from comp.api import View, plugin


@plugin("tta")
def hflip() -> dict[str, View]:
    """The image mirrored left to right, averaged with the plain view.

    Example: {use: hflip}
    """
    return {"hflip": mirror}


def mirror(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1)
