"""Post: a threshold for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Score, Target, Task, plugin

EVEN = np.linspace(0.05, 0.95, 19)
NEAR = np.linspace(-0.04, 0.04, 9)
BLOCK_CELLS = 2**17
"""How many probabilities are bent at once, so that what lies in between stays in the processor's cache."""
SHARES = np.array([4, 3, 2.5, 2, 1.75, 1.5, 1.25, 1.1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
"""A label's threshold is also looked for where so many times as many rows are given it as have it."""
FEW = 1 / 8
"""Of very many labels a row reaches few thresholds: up to this share they are looked at one by one."""
FACTORS = np.exp([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
INSIDE = 1e-6


@plugin("post")
def thresholds(task: Task, score: Score, /, *, passes: int = 3, shared: bool = False, decide: bool = False) -> Post:
    """A threshold for each label, or a weight for each class, that is best for the deciding metric: for F-measures above all.

    Labels: one threshold for all is looked for first, then one for each, where the metric has scores by class for all labels at
    once; then by coordinate search. Probabilities are bent so that a label's threshold comes to stand at 0.5. One class per
    row: probabilities are divided by the class's threshold and then by their sum, so that the likeliest class is the decision;
    thresholds by coordinate search, in factors from e^2 down, halved with each pass.

    Args:
        passes: most rounds of the coordinate search, from 0.
        shared: whether all labels keep one threshold: where there are thousands with few images each, single ones would be
            fitted to chance, and take hours.
        decide: whether the answers become 1 where a threshold is reached and 0 elsewhere (one class per row: 1 for the
            likeliest), for metrics that take probabilities at their word, such as probabilistic_f1.

    Raises:
        PluginError: the target is a number, passes is negative, or one class a row is to share a threshold.

    Example: {use: thresholds, passes: 2}
    """
    if task.target.kind == "regression":
        raise PluginError(f"post thresholds wants classes; {task.target.name!r} is a number: use cutpoints")
    if passes < 0:
        raise PluginError(f"post thresholds: passes is {passes}; wanted 0 or more")
    if task.target.kind == "multilabel":
        return Labels(task.target, score, passes, decide, shared)
    if shared:
        raise PluginError(f"post thresholds: shared is for sets of labels; {task.target.name!r} has one class a row")
    return Classes(task.target, score, passes, decide)


class Thresholds:
    """What both kinds of target have in common. `found`: (K,) thresholds."""

    def __init__(self, target: Target, score: Score, passes: int, decide: bool) -> None:
        self.target, self.score, self.passes, self.decide = target, score, passes, decide
        self.found = np.full(target.width, 0.5)

    def weigh(self, predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
        """What the predictions (N, K) become by these thresholds (K,)."""
        raise NotImplementedError

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        return self.weigh(predictions, self.found)

    def state(self) -> dict[str, Any]:
        return {"thresholds": dict(zip(self.target.classes, self.found.tolist(), strict=True))}

    def load(self, state: Mapping[str, Any]) -> None:
        self.found = np.array([state["thresholds"][name] for name in self.target.classes], dtype=np.float64)


class Labels(Thresholds):
    def __init__(self, target: Target, score: Score, passes: int, decide: bool, shared: bool) -> None:
        super().__init__(target, score, passes, decide)
        self.shared = shared

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        def judge(found: np.ndarray) -> float:
            return self.score(targets, self.weigh(predictions, found))

        start = self._search(0.5, EVEN, predictions, targets)
        if self.shared:
            self.found = self._search(start[0], start[0] + NEAR, predictions, targets)
            return
        best = judge(start)
        choices, self.found = list_choices(predictions, targets), start
        each = [self.score.by_class(targets, self.weigh(predictions, row)) for row in choices]
        if all(scores is not None for scores in each):
            scores = np.nan_to_num(np.stack(each), nan=-np.inf)  # type: ignore[arg-type]
            single = choices[scores.argmax(axis=0), np.arange(self.target.width)]
            if (found := judge(single)) >= best:
                self.found, best = single, found
            # The mean of scores by class has its best where each of them has.
            each = self.score.by_class(targets, self.weigh(predictions, self.found))
            if np.isclose(best, np.mean(np.nan_to_num(each)), atol=1e-12):
                return
        for _ in range(self.passes):
            before = best
            for place in range(self.target.width):
                self.found, best = move(self.found, best, place, choices[:, place], judge)
            if best <= before:
                break

    def weigh(self, predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
        return self._weigh_into(np.empty(predictions.shape), predictions, found)

    def _search(self, first: float, others: np.ndarray, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(L,) one threshold for all labels: of the best the first. All are tried in the same memory."""
        memory = np.empty(predictions.shape)

        def judge(threshold: float) -> float:
            return self.score(targets, self._weigh_into(memory, predictions, np.full(self.target.width, threshold)))

        return np.full(self.target.width, max((first, *others[~np.isclose(others, first)].tolist()), key=judge))

    def _weigh_into(self, memory: np.ndarray, predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
        rows = max(1, BLOCK_CELLS // max(1, self.target.width))
        for start in range(0, len(predictions), rows):
            bent = bend(predictions[start : start + rows], found)
            memory[start : start + rows] = bent >= 0.5 if self.decide else bent
        return memory


def list_choices(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(C, L) thresholds to try for each label."""
    shares = 1 - np.clip(SHARES[:, None] * (targets >= 0.5).mean(axis=0), 0, 1)
    near = np.column_stack([np.quantile(column, share) for column, share in zip(predictions.T, shares.T, strict=True)])
    return np.clip(np.vstack([near, np.tile(EVEN[:, None], (1, near.shape[1]))]), INSIDE, 1 - INSIDE)


def bend(predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
    """0, the threshold and 1 go to 0, 0.5 and 1; straight in between."""
    bent = 0.5 * predictions
    bent /= found
    above = predictions >= found
    if np.count_nonzero(above) > FEW * above.size:
        return np.where(above, 0.5 + 0.5 * (predictions - found) / (1 - found), bent)
    rows, labels = np.nonzero(above)
    reached, at = predictions[rows, labels], found[labels]
    bent[rows, labels] = 0.5 + 0.5 * (reached - at) / (1 - at)
    return bent


class Classes(Thresholds):
    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        def judge(found: np.ndarray) -> float:
            return self.score(targets, self.weigh(predictions, found))

        found = np.full(self.target.width, 0.5)
        best = judge(found)
        for number in range(self.passes):
            factors = FACTORS ** (0.5**number)
            for place in range(self.target.width):
                found, best = move(found, best, place, found[place] * factors, judge)
        self.found = found * 0.5 / found.mean()

    def weigh(self, predictions: np.ndarray, found: np.ndarray) -> np.ndarray:
        divided = divide(predictions, found)
        return np.eye(self.target.width)[divided.argmax(axis=1)] if self.decide else divided


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
