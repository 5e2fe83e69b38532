"""Bi-tempered logistic loss: bounded, so that wrong labels cannot pull without end."""

from __future__ import annotations

from typing import Any

import torch

from comp.api import Loss, PluginError, Task, plugin

from ._classes import demand_classes, demand_share, spread

ITERATIONS = 20
"""Fixed-point steps of the normaliser. After the 5 of the paper's code, 1,000 probabilities at t2 = 1.2 sum to 0.99."""


@plugin("loss")
def bi_tempered(task: Task, /, *, t1: float = 0.8, t2: float = 1.2, smoothing: float = 0.0) -> Loss:
    """Bi-tempered logistic loss (Amid et al. 2019, eq. 5): a tempered logarithm of tempered softmax probabilities.

    Called with logits (B, K) and classes (B,) int64 or distributions (B, K) float, returns (B,) float32. What is predicted is
    still the softmax of the logits: the same class, flatter probabilities than the tempered softmax's.

    Args:
        t1: temperature of the logarithm, in [0, 1]: below 1 the loss of a row is bounded; 1 is the logarithm.
        t2: temperature of the softmax, from 1: above 1 its tails are heavy; 1 is the softmax.
        smoothing: share of the target spread evenly over all classes, in [0, 1).

    Raises:
        PluginError: the target is no single class, or a parameter is out of its range.

    Example: {use: bi_tempered, t1: 0.8, t2: 1.2, smoothing: 0.05}
    """
    demand_classes(task.target, "bi_tempered")
    if not 0 <= t1 <= 1:
        raise PluginError(f"loss.t1 is {t1}; wanted a temperature in [0, 1]")
    if t2 < 1:
        raise PluginError(f"loss.t2 is {t2}; wanted a temperature of 1 or more")
    demand_share("smoothing", smoothing)
    return BiTempered(t1, t2, smoothing)


class BiTempered:
    def __init__(self, t1: float, t2: float, smoothing: float) -> None:
        self.t1, self.t2, self.smoothing = t1, t2, smoothing

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        answers = spread(targets, outputs.shape[1], self.smoothing)
        outputs = outputs.float()
        said = tempered_exp(outputs - Normalise.apply(outputs, self.t2), self.t2)
        # x * log_t(x) is 0 at 0, but its factors are not finite there.
        least = torch.finfo(torch.float32).tiny
        gain = tempered_log(answers.clamp_min(least), self.t1) - tempered_log(said.clamp_min(least), self.t1)
        power = 2 - self.t1
        return (answers * gain - (answers**power - said**power) / power).sum(dim=1)


class Normalise(torch.autograd.Function):
    """(B, K) logits -> (B, 1) normaliser, by which tempered_exp(logits - normaliser) sums to 1 (Amid et al. 2019, algorithm 1).

    Its gradient is the escort distribution p^t2 / sum p^t2 (their appendix A), so that no iteration is differentiated.
    """

    @staticmethod
    def forward(context: Any, logits: torch.Tensor, t2: float) -> torch.Tensor:
        top = logits.max(dim=1, keepdim=True).values
        if t2 == 1:
            normaliser = torch.logsumexp(logits, dim=1, keepdim=True)
        else:
            shifted = logits - top
            for _ in range(ITERATIONS):
                total = tempered_exp(shifted, t2).sum(dim=1, keepdim=True)
                shifted = (logits - top) * total ** (1 - t2)
            total = tempered_exp(shifted, t2).sum(dim=1, keepdim=True)
            normaliser = top - tempered_log(1 / total, t2)
        escort = tempered_exp(logits - normaliser, t2) ** t2
        context.save_for_backward(escort / escort.sum(dim=1, keepdim=True))
        return normaliser

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (escort,) = context.saved_tensors
        return gradient * escort, None


def tempered_log(values: torch.Tensor, t: float) -> torch.Tensor:
    """(x^(1 - t) - 1) / (1 - t); the logarithm at t = 1."""
    return values.log() if t == 1 else (values ** (1 - t) - 1) / (1 - t)


def tempered_exp(values: torch.Tensor, t: float) -> torch.Tensor:
    """max(1 + (1 - t) x, 0)^(1 / (1 - t)); the exponential at t = 1. For t from 1 and x up to 0."""
    return values.exp() if t == 1 else (1 + (1 - t) * values).clamp_min(0) ** (1 / (1 - t))
