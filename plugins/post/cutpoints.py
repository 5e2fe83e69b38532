"""Post: grades from a number by cut-points, for quadratic weighted kappa."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Score, Target, Task, plugin

MOST_GRADES = 100
MOST_PASSES = 20
BETWEEN = np.linspace(0, 1, 14)[1:-1]
STEPS = (0.2, 0.1, 0.05, 0.02, 0.01)


@plugin("post")
def cutpoints(task: Task, score: Score, /) -> Post:
    """Cut-points between grades that are best for the deciding metric, as quadratic weighted kappa wants them.

    A number becomes the grade between whose cut-points it lies; grades are the values that the answers have. Classes in an
    order (0, 1, 2, ...) go by the expected value of their places and are answered by 1 for one class. It starts with cuts
    half-way between grades, or with those that give each grade its share of the answers, whichever is better, and moves one cut
    after another: to quantiles between its neighbours, then by steps from a fifth of a grade down.

    Raises:
        PluginError: the target is a set of labels, or its answers have more than 100 different values.

    Example: {use: cutpoints}
    """
    if task.target.kind == "multilabel":
        raise PluginError(f"post cutpoints wants grades; {task.target.name!r} is a set of labels: use thresholds")
    return CutPoints(task.target, score)


class CutPoints:
    """`grades`: (K,) values in order; of classes their places. `cuts`: (K - 1,), ascending."""

    def __init__(self, target: Target, score: Score) -> None:
        self.target, self.score = target, score
        self.grades, self.cuts = np.arange(target.width, dtype=np.float64), np.arange(target.width - 1) + 0.5

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        if not self.target.classes:
            self.grades = np.unique(targets).astype(np.float64)
            if len(self.grades) > MOST_GRADES:
                raise PluginError(
                    f"post cutpoints wants grades; {self.target.name!r} has {len(self.grades)} different values: use clip"
                )
        values = self.read_values(predictions)
        # Of classes the answers are places, and so are the grades.
        below = np.searchsorted(np.sort(targets), self.grades[1:])
        even, matched = (self.grades[1:] + self.grades[:-1]) / 2, np.quantile(values, below / len(targets))

        def judge(cuts: np.ndarray) -> float:
            return self.score(targets, self.cut(values, cuts))

        start = max((even, matched), key=judge)
        gap = float(np.median(np.diff(self.grades))) if len(self.grades) > 1 else 1.0
        self.cuts = search(start, np.sort(values), gap, judge)

    def read_values(self, predictions: np.ndarray) -> np.ndarray:
        return predictions @ self.grades if self.target.classes else predictions

    def cut(self, values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        places = np.searchsorted(cuts, values, side="right")
        return np.eye(self.target.width)[places] if self.target.classes else self.grades[places]

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        return self.cut(self.read_values(predictions), self.cuts)

    def state(self) -> dict[str, Any]:
        return {"grades": self.grades.tolist(), "cuts": self.cuts.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.grades, self.cuts = np.array(state["grades"], dtype=np.float64), np.array(state["cuts"], dtype=np.float64)


def search(cuts: np.ndarray, values: np.ndarray, gap: float, judge: Callable[[np.ndarray], float]) -> np.ndarray:
    """Better cuts. `values`: sorted; `gap`: between two grades."""
    best = judge(cuts)
    for step in (None, *STEPS):
        for _ in range(MOST_PASSES):
            before = best
            for place in range(len(cuts)):
                low = cuts[place - 1] if place else values[0]
                high = cuts[place + 1] if place + 1 < len(cuts) else values[-1]
                for choice in list_choices(cuts[place], low, high, values, step and step * gap):
                    moved = cuts.copy()
                    moved[place] = choice
                    if (found := judge(moved)) > best:
                        cuts, best = moved, found
            if best <= before:
                break
    return cuts


def list_choices(cut: float, low: float, high: float, values: np.ndarray, step: float | None) -> np.ndarray:
    """Where a cut may go, its neighbours staying: quantiles of the values between them; or a step either way."""
    if step is not None:
        return np.clip(np.array([cut - step, cut + step]), min(low, high), max(low, high))
    inner = values[np.searchsorted(values, low) : np.searchsorted(values, high, side="right")]
    return np.quantile(inner, BETWEEN) if len(inner) else np.array([])
