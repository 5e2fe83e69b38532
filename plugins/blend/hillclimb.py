"""Blend by greedy selection with replacement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import Blend, PluginError, Score, plugin


@plugin("blend")
def hillclimb(score: Score, /, *, steps: int = 50, patience: int = 2, tolerance: float = 1e-4) -> Blend:
    """Ensemble selection (Caruana et al. 2004): the member that helps the deciding metric most is added, again and again.

    It starts with the best single member; a member may be picked more than once, and the mean of all picks predicts. What
    counts is the selection that scored best on the way; of equals the first. Deterministic.

    Args:
        steps: most picks, from 1.
        patience: picks in a row that bring nothing before it stops, from 1.
        tolerance: the least gain that counts, as a share of the score so far, from 0: smaller ones are noise, and take time.

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: hillclimb, members: [exp001, exp002, exp003], steps: 30}
    """
    if steps < 1 or patience < 1 or tolerance < 0:
        raise PluginError(
            f"blend hillclimb: steps {steps} and patience {patience} must be 1 or more, tolerance {tolerance} 0 or more"
        )
    return HillClimb(score, steps, patience, tolerance)


class HillClimb:
    """Attribute `weights`: member -> its share of the picks."""

    def __init__(self, score: Score, steps: int, patience: int, tolerance: float) -> None:
        self.score, self.steps, self.patience, self.tolerance = score, steps, patience, tolerance
        self.weights: dict[str, float] = {}

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        parts = list(members.values())
        mean, trial = np.zeros(parts[0].shape), np.empty(parts[0].shape)
        picks: list[int] = []
        best, kept = -np.inf, 1
        while len(picks) < self.steps and len(picks) < kept + self.patience:
            count = len(picks) + 1
            mean *= (count - 1) / count
            scores = []
            for part in parts:
                np.multiply(part, 1 / count, out=trial)
                trial += mean
                scores.append(self.score(targets, trial))
            picked = int(np.argmax(scores))
            mean += parts[picked] / count
            picks.append(picked)
            if scores[picked] > best + (self.tolerance * abs(best) if np.isfinite(best) else 0):
                best, kept = scores[picked], count
        counts = np.bincount(picks[:kept], minlength=len(parts))
        self.weights = dict(zip(members, (counts / kept).tolist(), strict=True))

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        total = np.zeros(next(iter(members.values())).shape)
        for name, values in members.items():
            total += values * self.weights[name]
        return total
