"""LDAM: cross-entropy with a margin that is the larger the rarer the class."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import ClassWeights, demand_classes, demand_hard, demand_number, weigh_classes


@plugin("loss")
def ldam(
    task: Task,
    counts: np.ndarray,
    /,
    *,
    max_m: float = 0.5,
    scale: float = 1.0,
    weights: Literal["none", "balanced", "effective", "sqrt"] | list[float] = "none",
    beta: float = 0.9999,
) -> Loss:
    """Cross-entropy with label-distribution-aware margins (Cao et al. 2019, eq. 13), the larger the rarer the class.

    The right logit is lowered by scale * max_m * (n_min / n_c)^(1/4), for n_c training rows of the class, n_min of the rarest.
    Deferred re-weighting (LDAM-DRW) is a second stage with `loss: {use: ldam, weights: effective}`. Called with logits (B, K)
    and classes (B,) int64, returns (B,) float32.

    Args:
        max_m: margin of the rarest class, from 0; in units of `scale`.
        scale: what the outputs are cosines times: that of head `cosine` (30 in the paper's code); 1: plain logits.
        weights: what a row counts by its class, 1 on average over the training rows: balanced, effective, sqrt or a list, as in
            cross_entropy. A class without training rows has weight 0.
        beta: of `effective`, in [0, 1): 0 weighs all classes the same, towards 1 it becomes balanced.

    Raises:
        PluginError: the target is no single class, a parameter is out of its range, or (when called) targets are distributions.

    Example: {use: ldam, max_m: 0.5, weights: effective}
    """
    demand_classes(task.target, "ldam")
    demand_number("max_m", max_m, 0)
    if scale <= 0:
        raise PluginError(f"loss.scale is {scale}; wanted a number above 0")
    # A class without rows is never the right one: its margin does not matter.
    shrink = np.where(counts > 0, counts, np.inf) ** -0.25
    margins = torch.tensor(scale * max_m * shrink / shrink.max(), dtype=torch.float32)
    return Margins(margins, ClassWeights(weigh_classes(weights, beta, counts, task.target)))


class Margins:
    """`margins`: (K,) what is taken off the right logit."""

    def __init__(self, margins: torch.Tensor, weights: ClassWeights) -> None:
        self.margins = margins
        self.weights = weights

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        demand_hard(targets, "ldam")
        self.margins = self.margins.to(outputs.device)
        lowered = outputs.float() - F.one_hot(targets, outputs.shape[1]) * self.margins
        return self.weights(F.cross_entropy(lowered, targets, reduction="none"), targets)
