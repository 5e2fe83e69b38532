"""Bootstrap: how far a run's score would move if other units had been drawn.

Units are drawn again with replacement, a fixed number of times and from a fixed seed, and the deciding metric is asked anew.
Models are not trained again: the interval is that of these predictions on more such units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comp.api import Metric
from comp.predictions import Predictions
from comp.scores import score_rows

RESAMPLES = 200
SHARE = 0.95
SEED = 20_230
CELLS = 300_000
"""Predicted numbers that a resample looks at, at most; 200 of them take 1 s (accuracy) to 5 s (AUC of 10 columns) on one core."""

LEAST_UNITS, MOST_UNITS = 2_000, 30_000

HOPELESS = 10
"""Resamples without a score after which none is waited for (AUC of many rare classes)."""


def estimate_interval(
    predictions: Predictions, targets: Mapping[str, np.ndarray], metrics: Mapping[str, Metric]
) -> dict[str, Any] | None:
    """The 95% interval of the pooled score: `low`, `high`, and `resamples`, how many had a score.

    A resample of many units draws fewer than there are: as many as have 300,000 predicted numbers, 2,000 to 30,000. The spread of
    m units is then brought to that of n by sqrt(m / n), around the pooled score. None below two units, or where the score, or
    that of half the resamples, is undefined.

    Args:
        targets: target -> answers in the order of the predictions.
        metrics: target -> the deciding metric.
    """
    task, values, units = predictions.task, predictions.values, len(predictions.ids)
    pooled = score_rows(task, "score", metrics, targets, values).get("score")
    if pooled is None or units < 2:
        return None
    drawn = min(units, max(LEAST_UNITS, min(MOST_UNITS, CELLS // task.outputs)))
    generator = np.random.default_rng(SEED)
    scores = []
    for number in range(RESAMPLES):
        if number == HOPELESS and not scores:
            return None
        rows = np.sort(generator.integers(0, units, drawn))
        part = {name: answers[rows] for name, answers in targets.items()}
        score = score_rows(task, "score", metrics, part, values[rows]).get("score")
        scores += [] if score is None else [score]
    if len(scores) <= RESAMPLES // 2:
        return None
    ends = np.quantile(scores, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    if drawn < units:
        ends = pooled + (ends - np.mean(scores)) * np.sqrt(drawn / units)
    return {"low": float(ends[0]), "high": float(ends[1]), "resamples": len(scores)}
