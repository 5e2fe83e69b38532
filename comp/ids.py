"""Ids: everything that has an id is joined by it, never by position. A mismatch is shown, with the ids that differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from comp.errors import PredictionsError

SHOWN = 5


def locate_ids(ids: Sequence[str] | np.ndarray, among: Sequence[str] | np.ndarray, what: str, where: str) -> np.ndarray:
    """Where each of `ids` stands in `among` (each once there): (N,) int64 positions.

    Args:
        what, where: what both are, for the message: `exp001's OOF`, `the training table`.

    Raises:
        PredictionsError: some are not there.
    """
    ids, among = np.asarray(ids, dtype=object), np.asarray(among, dtype=object)
    if np.array_equal(ids, among):
        return np.arange(len(ids))
    found = pd.Index(among).get_indexer(pd.Index(ids))
    if (found < 0).any():
        raise PredictionsError(f"{what}: {name_ids(ids[found < 0])} not in {where}. Were the tables changed since?")
    return found.astype(np.int64)


def name_ids(ids: Sequence[str] | np.ndarray, noun: str = "id") -> str:
    """`3 ids (a, b, c)`; of many the first five, and how many more."""
    shown = ", ".join(map(str, ids[:SHOWN])) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
    return f"{len(ids)} {noun}{'' if len(ids) == 1 else 's'} ({shown})"


def demand_same_ids(ids: np.ndarray, other: np.ndarray, name: str, other_name: str) -> None:
    """Raises PredictionsError that shows the difference, if the two sets of ids differ."""
    if np.array_equal(ids, other):
        return
    here, there = pd.Index(ids), pd.Index(other)
    lacking, extra = here[~here.isin(there)], there[~there.isin(here)]
    if len(lacking) or len(extra):
        difference = [f"{name} have {name_ids(lacking)} that {other_name} lack"] if len(lacking) else []
        difference += [f"{other_name} have {name_ids(extra)} that {name} lack"] if len(extra) else []
        raise PredictionsError("; ".join(difference) + ". They must be of the same ids: predict both for the same tables")
