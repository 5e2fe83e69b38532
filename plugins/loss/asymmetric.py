"""Asymmetric loss: for label sets of which few are set, negatives that are easy count for nothing."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_number, demand_share


@plugin("loss")
def asymmetric(task: Task, /, *, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05) -> Loss:
    """Asymmetric loss (Ridnik et al. 2021, eq. 7) of each label's sigmoid, averaged over the labels (the paper: their sum).

    Called with logits (B, L) and labels (B, L) float in 0..1, returns (B,) float32.

    Args:
        gamma_neg: focusing exponent of labels that are not set, from 0.
        gamma_pos: focusing exponent of labels that are set, from 0.
        clip: probability up to which a label that is not set costs nothing, in [0, 1).

    Raises:
        PluginError: the target is no set of labels, or a parameter is out of its range.

    Example: {use: asymmetric, gamma_neg: 4.0, gamma_pos: 1.0, clip: 0.05}
    """
    target = task.target
    if target.link != "sigmoid":
        hint = "smooth_l1 or mse" if target.link == "identity" else "cross_entropy, focal or bce"
        raise PluginError(f"loss asymmetric wants label sets; {target.name} is {target.kind}: use {hint}")
    demand_number("gamma_neg", gamma_neg, 0)
    demand_number("gamma_pos", gamma_pos, 0)
    demand_share("clip", clip)
    return Asymmetric(gamma_neg, gamma_pos, clip)


class Asymmetric:
    def __init__(self, gamma_neg: float, gamma_pos: float, clip: float) -> None:
        self.gamma_neg, self.gamma_pos, self.clip = gamma_neg, gamma_pos, clip

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs, labels = outputs.float(), targets.float()
        said = outputs.sigmoid()
        # The clamps keep the gradient of the powers finite for exponents below 1.
        tiny = torch.finfo(torch.float32).tiny
        there = labels * (1 - said).clamp_min(tiny) ** self.gamma_pos * F.softplus(-outputs)
        wrong = (said - self.clip).clamp_min(tiny)
        missing = (1 - labels) * wrong**self.gamma_neg * -torch.log1p(-wrong.clamp_max(1 - 1e-7))
        return (there + missing).mean(dim=1)
