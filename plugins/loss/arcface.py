"""ArcFace: cross-entropy of cosines with a margin in the angle to the right class's centre."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_classes, demand_hard
from ._cosines import Cosines


@plugin("loss")
def arcface(task: Task, /, *, margin: float = 0.5, scale: float = 30.0) -> Loss:
    """Additive angular margin (Deng et al. 2019, eq. 3): the right output scale * cos(a) becomes scale * cos(a + margin).

    For angles beyond pi - margin, where that would rise again, scale * (cos(a) - margin * sin(margin)), as in the paper's code.
    Called with scale * cosines (B, K) of head `cosine` and classes (B,) int64, returns (B,) float32.

    Args:
        margin: in radians, in [0, pi).
        scale: that of the head, above 0.

    Raises:
        PluginError: the target is no single class, a parameter is out of its range, or (when called) outputs beyond the scale or
            targets that are distributions.

    Example: {use: arcface, margin: 0.3, scale: 30.0}
    """
    demand_classes(task.target, "arcface")
    if not 0 <= margin < math.pi:
        raise PluginError(f"loss.margin is {margin}; wanted an angle in [0, pi)")
    return ArcFace(margin, Cosines("arcface", scale))


class ArcFace:
    def __init__(self, margin: float, cosines: Cosines) -> None:
        self.margin, self.cosines = margin, cosines

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        demand_hard(targets, "arcface")
        cosines = self.cosines(outputs)
        own = cosines.gather(1, targets[:, None])
        # At a cosine of 1 the root has no finite gradient.
        sines = (1 - own**2).clamp_min(1e-7).sqrt()
        turned = own * math.cos(self.margin) - sines * math.sin(self.margin)
        past = own < math.cos(math.pi - self.margin)
        lowered = torch.where(past, own - self.margin * math.sin(self.margin), turned)
        return F.cross_entropy(self.cosines.scale * cosines.scatter(1, targets[:, None], lowered), targets, reduction="none")
