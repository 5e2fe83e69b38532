"""Post: a threshold for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Score, Target, Task, plugin

EVEN = np.linspace(0.05, 0.95, 19)
SHARES = np.array([4, 3, 2.5, 2, 1.75, 1.5, 1.25, 1.1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
"""A label's threshold is also looked for where so many times as many rows are given it as have it."""
FACTORS = np.exp([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
INSIDE = 1e-6


@plugin("post")
def thresholds(task: Task, score: Score, /, *, passes: int = 3) -> Post:
    """A threshold for each label, or a weight for each class, that is best for the deciding metric: for F-measures above all.

    Labels: one threshold for all is looked for first, then one for each, where the metric has scores by class for all labels at
    once; then by coordinate search. Probabilities are bent so that a label's threshold comes to stand at 0.5. One class per
    row: probabilities are divided by the class's threshold and then by their sum, so that the likeliest class is the decision;
    thresholds by coordinate search, in factors from e^2 down, halved with each pass.

    Args:
        passes: most rounds of the coordinate search, from 0.

    Raises:
        PluginError: the target is a number, or passes is negative.

    Example: {use: thresholds, passes: 2}
    """
    if task.target.kind == "regression":
        raise PluginError(f"post thresholds wants classes; {task.target.name!r} is a number: use cutpoints")
    if passes < 0:
        raise PluginError(f"post thresholds: passes is {passes}; wanted 0 or more")
    return (Labels if task.target.kind == "multilabel" else Classes)(task.target, score, passes)


class Thresholds:
    """What both kinds of target have in common. `found`: (K,) thresholds."""

    def __init__(self, target: Target, score: Score, passes: int) -> None:
        self.target, self.score, self.passes = target, score, passes
        self.found = np.full(target.width, 0.5)

    def state(self) -> dict[str, Any]:
        return {"thresholds": dict(zip(self.target.classes, self.found.tolist(), strict=True))}

    def load(self, state: Mapping[str, Any]) -> None:
        self.found = np.array([state["thresholds"][name] for name in self.target.classes], dtype=np.float64)


class Labels(Thresholds):
    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        def judge(found: np.ndarray) -> float:
            return self.score(targets, bend(predictions, found))

        choices = list_choices(predictions, targets)
        start = max((np.full(self.target.width, even) for even in (0.5, *EVEN)), key=judge)
        self.found, best = start, judge(start)
        each = [self.score.by_class(targets, bend(predictions, row)) for row in choices]
        if all(scores is not None for scores in each):
            scores = np.nan_to_num(np.stack(each), nan=-np.inf)  # type: ignore[arg-type]
            single = choices[scores.argmax(axis=0), np.arange(self.target.width)]
            if (found := judge(single)) >= best:
                self.found, best = single, found
            # The mean of scores by class has its best where each of them has.
            if np.isclose(best, np.mean(np.nan_to_num(self.score.by_class(targets, bend(predictions, self.found)))), atol=1e-12):
                return
        for _ in range(self.passes):
            before = best
            for place in range(self.target.width):
                self.found, best = move(self.found, best, place, choices[:, place], judge)
            if best <= before:
                break

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        return bend(predictions, self.found)


def list_choices(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(C, L) thresholds to try for each label."""
    shares = 1 - np.clip(SHARES[:, None] * (targets >= 0.5).mean(axis=0), 0, 1)
    near = np.column_stack([np.quantile(column, share) for column, share in zip(predictions.T, shares.T, strict=True)])
    return np.clip(np.vstack([near, np.tile(EVEN[:, None], (1, near.shape[1]))]), INSIDE, 1 - INSIDE)


def bend(predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
    """0, the threshold and 1 go to 0, 0.5 and 1; straight in between."""
    below = predictions < found
    return np.where(below, 0.5 * predictions / found, 0.5 + 0.5 * (predictions - found) / (1 - found))


class Classes(Thresholds):
    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        def judge(found: np.ndarray) -> float:
            return self.score(targets, divide(predictions, found))

        found = np.full(self.target.width, 0.5)
        best = judge(found)
        for number in range(self.passes):
            factors = FACTORS ** (0.5**number)
            for place in range(self.target.width):
                found, best = move(found, best, place, found[place] * factors, judge)
        self.found = found * 0.5 / found.mean()

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        return divide(predictions, self.found)


def divide(predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
    weighed = predictions / found
    return weighed / weighed.sum(axis=1, keepdims=True)


def move(
    found: np.ndarray, best: float, place: int, choices: np.ndarray, judge: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, float]:
    """The thresholds, one of them replaced by the choice that scores best, and their score; as they were where none is better."""
    for choice in choices:
        trial = found.copy()
        trial[place] = choice
        if (score := judge(trial)) > best:
            found, best = trial, score
    return found, best
