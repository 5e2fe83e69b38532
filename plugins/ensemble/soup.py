"""A greedy soup of a fold's epochs: their weights' mean, with those in it that the held-out rows like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from comp.api import Gatherer, PluginError, plugin

Weights = dict[str, torch.Tensor]


@plugin("ensemble")
def soup(epochs: int, /, *, candidates: int = 10) -> Gatherer:
    """Greedy soup (Wortsman et al. 2022, algorithm 1) of the fold's epochs, as one network.

    The epochs are taken from the best held-out score down; each joins the mean of the weights where the score of the mean
    does not fall by it. Choosing on the rows that score it flatters: scores.json has the gap to the last epoch's score. Without
    held-out rows (`full`) nothing can be chosen, and the last epoch predicts. Batch-norm statistics are averaged as the
    weights are.

    Args:
        candidates: how many epochs, those of the best scores, may join, from 1; so many copies of the weights are kept.

    Raises:
        PluginError: candidates is below 1.

    Example: {use: soup, candidates: 10}
    """
    if candidates < 1:
        raise PluginError(f"ensemble.candidates is {candidates}; wanted 1 epoch or more")
    return GreedySoup(min(candidates, epochs))


class GreedySoup:
    chooses = True

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates
        self.found: list[tuple[float, int, Weights]] = []  # from the best score down; of equal ones the later epoch first

    def gather(self, epoch: int, weights: Weights, score: float | None) -> None:
        if score is not None:
            self.found.append((score, epoch, weights))
            self.found.sort(key=lambda candidate: candidate[:2], reverse=True)
            del self.found[self.candidates :]

    def finish(
        self, judge: Callable[[Weights], float | None], renew: Callable[[Weights], Weights]
    ) -> tuple[Weights, list[int]] | None:
        if not self.found:
            return None
        best, epoch, mean = self.found[0]
        chosen = [epoch]
        for _, epoch, weights in self.found[1:]:
            tasted = add_to_mean(mean, weights, len(chosen) + 1)
            score = judge(tasted)
            if score is not None and score >= best:
                best, mean = score, tasted
                chosen.append(epoch)
        return mean, sorted(chosen)

    def state(self) -> dict[str, Any]:
        return {"found": [list(candidate) for candidate in self.found]}

    def load(self, state: Mapping[str, Any]) -> None:
        self.found = [
            (score, epoch, {name: value.cpu() for name, value in weights.items()}) for score, epoch, weights in state["found"]
        ]


def add_to_mean(mean: Weights, weights: Weights, count: int) -> Weights:
    """The mean of `count` weights, of which `mean` is that of all but the last. Counters stay."""
    return {
        name: value + (weights[name] - value) / count if value.is_floating_point() else value for name, value in mean.items()
    }
