"""Blend by weights that are learned from OOF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from comp.api import Blend, Score, Target, Task, plugin

SMALLEST = 1e-15
NEGLIGIBLE = 1e-4
STEPS = (0.25, 0.1, 0.05, 0.02, 0.01)
MOST_PASSES = 20


@plugin("blend")
def weighted(task: Task, score: Score, /, *, on: Literal["metric", "loss"] = "metric") -> Blend:
    """Weighted mean of the members; weights from 0 on, of sum 1, the best on the OOF that it is fitted on.

    Weights below 1e-4 are taken for 0.

    Args:
        on: what the weights are best by. loss: log loss, or the squared error of a number (over its variance), the mean over
            targets: convex, so that there is one best answer, found by sequential quadratic programming (SLSQP); it prefers
            the members whose probabilities can be trusted, which need not be those that are right most often. metric: the
            deciding metric itself, by a pattern search from there with steps from 0.25 down to 0.01.

    Example: {use: weighted, members: [exp001, exp002], on: loss}
    """
    return Weighted(task, score, on)


class Weighted:
    """Attribute `weights`: member -> its share, of sum 1."""

    def __init__(self, task: Task, score: Score, on: str) -> None:
        self.task, self.score, self.on = task, score, on
        self.weights: dict[str, float] = {}

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        parts = list(members.values())
        shares = minimise_loss(self.task, parts, targets)
        if self.on == "metric":
            shares = search_pattern(parts, shares, lambda values: self.score(targets, values))
        shares = np.where(shares < NEGLIGIBLE, 0, shares)
        self.weights = dict(zip(members, (shares / shares.sum()).tolist(), strict=True))

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        return mix(list(members.values()), np.array([self.weights[name] for name in members]))


def mix(parts: list[np.ndarray], shares: np.ndarray) -> np.ndarray:
    total = np.zeros(parts[0].shape)
    for values, share in zip(parts, shares, strict=True):
        total += values * share
    return total


def minimise_loss(task: Task, parts: list[np.ndarray], targets: Mapping[str, np.ndarray]) -> np.ndarray:
    """(M,) shares of the least loss."""
    losses = [make_loss(target, [part[:, task.slices[target.name]] for part in parts], targets[target.name])
              for target in task.targets]  # fmt: skip

    def total(shares: np.ndarray) -> tuple[float, np.ndarray]:
        values, slopes = zip(*(loss(shares) for loss in losses), strict=True)
        return float(np.mean(values)), np.mean(slopes, axis=0)

    count = len(parts)
    found = minimize(
        total,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    shares = np.clip(found.x, 0, 1)
    return shares / shares.sum()


def make_loss(target: Target, parts: list[np.ndarray], answers: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """(M,) shares -> the target's loss and its (M,) slopes."""
    if target.kind == "regression":
        errors = np.stack([part[:, 0] for part in parts]) - answers
        gram = errors @ errors.T / errors.shape[1] / max(float(np.var(answers, dtype=np.float64)), SMALLEST)
        return lambda shares: (float(shares @ gram @ shares), 2 * gram @ shares)
    # (M, cells): what each member gives to what is there. For a label that is not there, that is 1 - p.
    if target.kind == "multilabel":
        right = np.stack([np.where(answers >= 0.5, part, 1 - part).ravel() for part in parts])
    else:
        right = np.stack([part[np.arange(len(answers)), answers] for part in parts])
    right = np.clip(right, SMALLEST, 1)

    def loss(shares: np.ndarray) -> tuple[float, np.ndarray]:
        given = np.maximum(shares @ right, SMALLEST)
        return float(-np.log(given).mean()), -(right @ (1 / given)) / len(given)

    return loss


def search_pattern(parts: list[np.ndarray], start: np.ndarray, score: Callable[[np.ndarray], float]) -> np.ndarray:
    """(M,) shares: each member in turn is given more or less, by smaller and smaller steps, as long as the score grows."""
    corners = [start, np.full(len(parts), 1 / len(parts)), *np.eye(len(parts))]
    scores = [score(mix(parts, shares)) for shares in corners]
    best, shares = max(scores), corners[int(np.argmax(scores))]
    for step in STEPS:
        for _ in range(MOST_PASSES):
            before = best
            for place in range(len(parts)):
                for moved in list_moves(shares, place, step):
                    if (found := score(mix(parts, moved))) > best:
                        best, shares = found, moved
                        break
            if best <= before:
                break
    return shares


def list_moves(shares: np.ndarray, place: int, step: float) -> list[np.ndarray]:
    """The shares with more of one member, and with less."""
    more = shares * (1 - step)
    more[place] += step
    less = shares.copy()
    less[place] = max(0.0, less[place] - step)
    return [more, less / less.sum()] if shares[place] > 0 and less.sum() > 0 else [more]
