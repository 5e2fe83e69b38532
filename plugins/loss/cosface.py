"""CosFace: cross-entropy of cosines with a margin in the right class's cosine."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_classes, demand_hard
from ._cosines import Cosines


@plugin("loss")
def cosface(task: Task, /, *, margin: float = 0.35, scale: float = 30.0) -> Loss:
    """Large margin cosine loss (Wang et al. 2018, eq. 4): the right output scale * cos(a) becomes scale * (cos(a) - margin).

    Called with scale * cosines (B, K) of head `cosine` and classes (B,) int64, returns (B,) float32.

    Args:
        margin: in [0, 2).
        scale: that of the head, above 0.

    Raises:
        PluginError: the target is no single class, a parameter is out of its range, or (when called) outputs beyond the scale or
            targets that are distributions.

    Example: {use: cosface, margin: 0.35, scale: 30.0}
    """
    demand_classes(task.target, "cosface")
    if not 0 <= margin < 2:
        raise PluginError(f"loss.margin is {margin}; wanted a number in [0, 2)")
    return CosFace(margin, Cosines("cosface", scale))


class CosFace:
    def __init__(self, margin: float, cosines: Cosines) -> None:
        self.margin, self.cosines = margin, cosines

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        demand_hard(targets, "cosface")
        cosines = self.cosines(outputs)
        lowered = cosines - self.margin * F.one_hot(targets, outputs.shape[1])
        return F.cross_entropy(self.cosines.scale * lowered, targets, reduction="none")
