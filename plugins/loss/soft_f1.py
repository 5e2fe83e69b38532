"""Soft F1: the F-measure with probabilities in place of decisions, so that it has a gradient."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

from comp.api import Loss, PluginError, Task, plugin

from ._classes import spread

LEAST = 1e-6


@plugin("loss")
def soft_f1(task: Task, /, *, average: Literal["macro", "samples"] = "macro") -> Loss:
    """1 - F1, where a hit counts by its probability: F1 = 2 * sum(t * p) / (sum(t) + sum(p)).

    One class per row: p is the softmax; logits (B, K), classes (B,) int64 or distributions (B, K) float. Label sets: p is each
    label's sigmoid; logits (B, L), labels (B, L) float in 0..1. Returns (B,) float32; macro is a figure of the whole batch:
    what a row is given is its share, so that the mean over the rows is the batch's 1 - F1. Batches want to be large then.

    Args:
        average: macro: the sums are over the batch, then the mean over the classes that the batch has; samples: the sums are over
            a row's labels (label sets only).

    Raises:
        PluginError: the target is a number, or `samples` with one class per row.

    Example: {use: soft_f1, average: macro}
    """
    target = task.target
    if target.link == "identity":
        raise PluginError(f"loss soft_f1 wants classes or labels; {target.name} is {target.kind}: use smooth_l1 or mse")
    if average == "samples" and target.link == "softmax":
        raise PluginError(f"loss.average: samples is for label sets; {target.name} has one class per row: use macro")
    return SoftF1(average == "macro", sets=target.link == "sigmoid")


class SoftF1:
    """`sets`: labels, each with a sigmoid of its own."""

    def __init__(self, macro: bool, sets: bool) -> None:
        self.macro, self.sets = macro, sets

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs = outputs.float()
        said = outputs.sigmoid() if self.sets else F.softmax(outputs, dim=1)
        answers = targets.float() if self.sets else spread(targets, outputs.shape[1])
        if not self.macro:
            return 1 - 2 * (answers * said).sum(dim=1) / (answers.sum(dim=1) + said.sum(dim=1)).clamp_min(LEAST)
        there = answers.sum(dim=0)
        present = there > 0
        hits = 2 * answers * said / (there + said.sum(dim=0)).clamp_min(LEAST)
        return 1 - len(outputs) * hits.sum(dim=1) / present.sum().clamp_min(1)
