"""Poly-1: cross-entropy with another first coefficient of its Taylor expansion."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_share, spread


@plugin("loss")
def poly(task: Task, /, *, epsilon: float = 2.0, smoothing: float = 0.0) -> Loss:
    """Poly-1 (Leng et al. 2022, eq. 5): cross-entropy + epsilon * (1 - p_t), with p_t the probability of the answer.

    One class per row: over the softmax; logits (B, K), classes (B,) int64 or distributions (B, K) float. Label sets: over each
    label's sigmoid, averaged over the labels; logits (B, L), labels (B, L) float in 0..1. Returns (B,) float32.

    Args:
        epsilon: from -1; 0 is cross-entropy, above 0 right answers become surer (2 in the paper for classes).
        smoothing: share of a target moved towards the other answers, in [0, 1): evenly to all classes, or of a label to 1/2.

    Raises:
        PluginError: the target is a number, or a parameter is out of its range.

    Example: {use: poly, epsilon: 1.0}
    """
    target = task.target
    if target.link == "identity":
        raise PluginError(f"loss poly wants classes or labels; {target.name} is {target.kind}: use smooth_l1 or mse")
    if epsilon < -1:
        raise PluginError(f"loss.epsilon is {epsilon}; wanted -1 or more: below it wrong answers are rewarded")
    demand_share("smoothing", smoothing)
    return Poly(epsilon, smoothing, sets=target.link == "sigmoid")


class Poly:
    """`sets`: labels, each with a sigmoid of its own."""

    def __init__(self, epsilon: float, smoothing: float, sets: bool) -> None:
        self.epsilon, self.smoothing, self.sets = epsilon, smoothing, sets

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs = outputs.float()
        if self.sets:
            labels = targets.float() * (1 - self.smoothing) + self.smoothing / 2
            said = outputs.sigmoid()
            missed = labels * (1 - said) + (1 - labels) * said
            return (F.binary_cross_entropy_with_logits(outputs, labels, reduction="none") + self.epsilon * missed).mean(dim=1)
        answers = spread(targets, outputs.shape[1], self.smoothing)
        said = F.log_softmax(outputs, dim=1)
        return -(answers * said).sum(dim=1) + self.epsilon * (1 - (answers * said.exp()).sum(dim=1))
