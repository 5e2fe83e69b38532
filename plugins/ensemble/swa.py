"""Stochastic weight averaging: the mean of the last epochs' weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from comp.api import Gatherer, PluginError, plugin

Weights = dict[str, torch.Tensor]


@plugin("ensemble")
def swa(epochs: int, /, *, start: float = 0.75) -> Gatherer:
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights of the last epochs, as one network.

    Batch-norm statistics are those of one more pass over the training rows. It wants rates that have not fallen to zero: give
    the last stage a constant or cyclic scheduler. It looks at no held-out row.

    Args:
        start: share of the fold's epochs before the first that is averaged, in [0, 1).

    Raises:
        PluginError: start is out of its range.

    Example: {use: swa, start: 0.75}
    """
    if not 0 <= start < 1:
        raise PluginError(f"ensemble.start is {start}; wanted a share of the epochs in [0, 1)")
    return WeightMean(int(start * epochs))


class WeightMean:
    chooses = False

    def __init__(self, first: int) -> None:
        self.first = first
        self.epochs: list[int] = []
        self.mean: Weights = {}

    def gather(self, epoch: int, weights: Weights, score: float | None) -> None:
        if epoch < self.first:
            return
        self.epochs.append(epoch)
        for name, value in weights.items():
            if name in self.mean and value.is_floating_point():
                self.mean[name] += (value - self.mean[name]) / len(self.epochs)
            else:
                self.mean[name] = value  # counters: the latest

    def finish(
        self, judge: Callable[[Weights], float | None], renew: Callable[[Weights], Weights]
    ) -> tuple[Weights, list[int]] | None:
        return (renew(self.mean), self.epochs) if self.epochs else None

    def state(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "mean": self.mean}

    def load(self, state: Mapping[str, Any]) -> None:
        self.epochs = list(state["epochs"])
        self.mean = {name: value.cpu() for name, value in state["mean"].items()}
