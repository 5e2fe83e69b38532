"""How much each key of a search has to do with the score, as a random forest finds it in the trials that there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST_TRIALS = 10
"""Of fewer a forest learns nothing that it could be asked about."""
PARTS, TREES, REPEATS = 5, 50, 5
TRUSTED = 0.1


@dataclass(frozen=True)
class Importance:
    """Attributes:
    shares: (name of a parameter, its part of the whole in [0, 1]), the greatest first; empty where nothing can be said.
    explained: R² of the forest on trials that it was not fitted on; None where there are too few.
    remark: why nothing is said, or why little is to be made of it; "" where there is nothing to remark.
    """

    shares: tuple[tuple[str, float], ...]
    explained: float | None
    remark: str


def is_active(parameter: Mapping[str, Any], drawn: Mapping[str, float], conditions: Mapping[str, Any]) -> bool:
    """Whether what was drawn for it had a place in the trial. `conditions`: name of a parameter -> its condition."""
    condition = parameter["condition"]
    while condition:
        parent, option = condition
        if drawn.get(parent) != option:
            return False
        condition = conditions.get(parent)
    return parameter["name"] in drawn


def weigh_parameters(parameters: Sequence[Mapping[str, Any]], trials: Sequence[Mapping[str, Any]]) -> Importance:
    """Permutation importance, measured on trials that the forest was not fitted on.

    Args:
        parameters: as search.json has them: comp.search.Parameter as mappings.
        trials: `drawn` and `score` of each that has a score, pruned ones too.
    """
    if len(trials) < FEWEST_TRIALS:
        return Importance((), None, f"too few trials: {len(trials)} have a score, and {FEWEST_TRIALS} are needed")
    scores = np.array([trial["score"] for trial in trials], dtype=np.float64)
    if np.ptp(scores) == 0:
        return Importance((), None, "every trial has the same score")
    table = tabulate(parameters, trials)
    gains, explained = fit_forests(table, scores)
    gains = np.maximum(gains, 0)
    whole = gains.sum()
    if not whole:
        return Importance((), explained, "no key tells good trials from bad ones yet")
    shares = sorted(zip((one["name"] for one in parameters), (gains / whole).tolist(), strict=True), key=lambda pair: -pair[1])
    remark = "" if explained >= TRUSTED else "the forest foretells almost nothing of trials it has not seen: take this as a guess"
    return Importance(tuple(shares), explained, remark)


def tabulate(parameters: Sequence[Mapping[str, Any]], trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(trials, parameters) float64: what was drawn, its logarithm where the range is logarithmic.

    Where a parameter had no place stands the median of the others: it shall not tell which option of its choice was drawn.
    """
    conditions = {parameter["name"]: parameter["condition"] for parameter in parameters}
    table = np.full((len(trials), len(parameters)), np.nan)
    for column, parameter in enumerate(parameters):
        for row, trial in enumerate(trials):
            if is_active(parameter, trial["drawn"], conditions):
                value = trial["drawn"][parameter["name"]]
                table[row, column] = math.log(value) if parameter["kind"].startswith("log") else value
        known = table[:, column][~np.isnan(table[:, column])]
        table[np.isnan(table[:, column]), column] = np.median(known) if len(known) else 0.0
    return table


def fit_forests(table: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean loss of held-out accuracy for each permuted column, and R² over all held-out trials."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    gains, answers = np.zeros(table.shape[1]), np.zeros(len(scores))
    for fitted, held in KFold(PARTS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(TREES, random_state=0, n_jobs=1).fit(table[fitted], scores[fitted])
        answers[held] = forest.predict(table[held])
        found = permutation_importance(
            forest, table[held], scores[held], scoring="neg_mean_squared_error", n_repeats=REPEATS, random_state=0, n_jobs=1
        )
        gains += found.importances_mean * len(held) / len(scores)
    return gains, float(1 - ((scores - answers) ** 2).sum() / ((scores - scores.mean()) ** 2).sum())
