"""mixup or CutMix, one of the two for each batch."""

from __future__ import annotations

import torch

from comp.api import Mix, Mixed, PluginError, plugin

from .cutmix import cutmix
from .mixup import mixup


@plugin("mix")
def mixup_cutmix(
    *, mixup_alpha: float = 0.8, cutmix_alpha: float = 1.0, cutmix_share: float = 0.5, p: float = 1.0
) -> Mix:
    """Each batch is mixed up or cut and pasted, as in DeiT's recipe (Touvron et al. 2021, table 9).

    Args:
        mixup_alpha: both parameters of the beta distribution of mixup's shares, above 0.
        cutmix_alpha: the same of CutMix.
        cutmix_share: share of the mixed batches that CutMix takes, in [0, 1].
        p: probability that a batch is mixed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: mixup_cutmix, mixup_alpha: 0.8, cutmix_alpha: 1.0, cutmix_share: 0.5}
    """
    if not 0 <= cutmix_share <= 1:
        raise PluginError(f"mix.cutmix_share is {cutmix_share}; wanted a share in [0, 1]")
    if not 0 <= p <= 1:
        raise PluginError(f"mix.p is {p}; wanted a probability in [0, 1]")
    for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
        if alpha <= 0:
            raise PluginError(f"mix.{name} is {alpha}; wanted a number above 0")
    up, cut = mixup(alpha=mixup_alpha, p=1.0), cutmix(alpha=cutmix_alpha, p=1.0)

    def mix(images: torch.Tensor, generator: torch.Generator) -> Mixed | None:
        mixed, which = torch.rand(2, generator=generator).tolist()
        if mixed >= p:
            return None
        return (cut if which < cutmix_share else up)(images, generator)

    return mix
