"""Answered: out-of-fold predictions beside the truth, one target at a time, joined by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from comp.api import Target
from comp.predictions import Predictions

SINGLE_CLASS = ("binary", "multiclass", "ordinal", "ranking")


@dataclass(frozen=True)
class Answered:
    """What was predicted for one target, over the units whose truth is known.

    Attributes:
        ids: (N,) text.
        values: (N, width) float64 probabilities, or values.
        truth: (N, ...) as comp.competition.encode_targets gives it.
    """

    target: Target
    ids: np.ndarray
    values: np.ndarray
    truth: np.ndarray


def join_truth(predictions: Predictions, ids: Sequence[str], targets: Mapping[str, np.ndarray]) -> list[Answered]:
    """An Answered for each target.

    Args:
        ids: (U,) of the units whose truth is known.
        targets: target name -> (U, ...) encoded truth.
    """
    found = pd.Index(np.asarray(ids, dtype=object)).get_indexer(pd.Index(predictions.ids))
    known = np.flatnonzero(found >= 0)
    truth = found[known]
    return [
        Answered(
            target,
            predictions.ids[known],
            predictions.values[known, predictions.task.slices[target.name]],
            np.asarray(targets[target.name])[truth],
        )
        for target in predictions.task.targets
        if target.name in targets
    ]
