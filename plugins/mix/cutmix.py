"""CutMix: a box of one image pasted into another."""

from __future__ import annotations

import numpy as np
import torch

from comp.api import Mix, Mixed, PluginError, plugin


@plugin("mix")
def cutmix(*, alpha: float = 1.0, p: float = 0.5) -> Mix:
    """CutMix (Yun et al. 2019, section 3.2 and algorithm A1), each image with its own box.

    The box has the image's proportions and any centre, so that borders cut it; share is the exact area of what stays,
    counted after the cut.

    Args:
        alpha: both parameters of the beta distribution that an image's share is drawn from, above 0; 1 draws evenly.
        p: probability that a batch is mixed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: cutmix, alpha: 1.0, p: 0.5}
    """
    if alpha <= 0:
        raise PluginError(f"mix.alpha is {alpha}; wanted a number above 0")
    if not 0 <= p <= 1:
        raise PluginError(f"mix.p is {p}; wanted a probability in [0, 1]")

    def mix(images: torch.Tensor, generator: torch.Generator) -> Mixed | None:
        # torch's own beta distribution takes no generator.
        draw = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        if draw.random() >= p:
            return None
        count, _, height, width = images.shape
        side = np.sqrt(1 - draw.beta(alpha, alpha, count))
        inside_rows, rows = _cut(draw, side, height)
        inside_columns, columns = _cut(draw, side, width)
        box = torch.as_tensor(inside_rows[:, None, :, None] & inside_columns[:, None, None, :]).to(images.device)
        share = torch.as_tensor(1 - rows * columns / (height * width), dtype=torch.float32).to(images.device)
        partner = torch.as_tensor(draw.permutation(count)).to(images.device)
        return Mixed(torch.where(box, images[partner], images), partner, share)

    return mix


def _cut(draw: np.random.Generator, side: np.ndarray, length_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of one axis lie in each image's box, (B, length_px) bool, and how many, (B,)."""
    size = (length_px * side).astype(np.int64)
    start = draw.integers(0, length_px, len(side)) - size // 2
    pixels = np.arange(length_px)
    inside = (pixels >= start[:, None]) & (pixels < (start + size)[:, None])
    return inside, inside.sum(axis=1)
