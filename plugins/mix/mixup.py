"""mixup: two images and their targets added up."""

from __future__ import annotations

import numpy as np
import torch

from comp.api import Mix, Mixed, PluginError, plugin


@plugin("mix")
def mixup(*, alpha: float = 0.2, p: float = 1.0) -> Mix:
    """mixup (Zhang et al. 2018, section 2), each image with its own share.

    Args:
        alpha: both parameters of the beta distribution that an image's share is drawn from, above 0; small values leave
            most images nearly alone, 1 draws evenly from [0, 1].
        p: probability that a batch is mixed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: mixup, alpha: 0.2}
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
        count = len(images)
        share = torch.as_tensor(draw.beta(alpha, alpha, count), dtype=torch.float32).to(images.device)
        partner = torch.as_tensor(draw.permutation(count)).to(images.device)
        weight = share.to(images.dtype)[:, None, None, None]
        return Mixed(torch.lerp(images[partner], images, weight), partner, share)

    return mix
