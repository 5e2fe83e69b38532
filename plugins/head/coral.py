"""Ordinal head: grades as thresholds on one line, answered as classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def coral(task: Task, features: int, counts: Mapping[str, np.ndarray], /, *, dropout: float = 0.0) -> Head:
    """Rank-consistent ordinal classification (CORAL, Cao et al. 2020), (B, features) -> (B, K) log-probabilities of the classes.

    One score s(x) = w.x and K - 1 falling biases: P(y > k) = sigmoid(s + b_k), and P(y = k) = P(y > k - 1) - P(y > k). The
    gaps between biases are softplus of what is learned, so that no class has a negative probability. Weights start at 0 and
    the biases at the log-odds of the classes' frequencies. Loss `coral` trains the K - 1 comparisons; cross_entropy is the
    ordered logit model.

    Args:
        dropout: share of the features dropped in training, in [0, 1).

    Raises:
        PluginError: the task is not one target with classes in order, or dropout is out of its range.

    Example: {use: coral, dropout: 0.2}
    """
    if len(task.targets) > 1 or task.target.link != "softmax" or task.target.width < 2:
        raise PluginError(f"head coral wants one target of two classes or more, in order; the task is {task.kind}")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    return Coral(features, counts[task.target.name], dropout)


class Coral(nn.Module):
    def __init__(self, features: int, counts: np.ndarray, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.score = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        # One row of each class is added, so that the log-odds are finite and fall from each to the next.
        above = torch.as_tensor((counts + 1)[::-1].cumsum()[::-1][1:].copy())
        odds = torch.log(above / (counts.sum() + len(counts) - above))
        self.first = nn.Parameter(odds[:1].float())
        self.gaps = nn.Parameter(torch.log(torch.expm1(odds[:-1] - odds[1:])).float())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        score = self.score(self.drop(features)).float()
        gaps = F.softplus(self.gaps)
        above = score + torch.cat([self.first, self.first - gaps.cumsum(dim=0)])
        # sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), which loses no digits.
        log_gap = torch.log(-torch.expm1(-gaps))
        between = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + log_gap
        return torch.cat([F.logsigmoid(-above[:, :1]), between, F.logsigmoid(above[:, -1:])], dim=1)
