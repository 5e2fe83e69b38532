"""Split `time`: what came later is held out, as in a test set that lies in the future."""

from __future__ import annotations

import numpy as np
import pandas as pd

from comp.api import FoldsError, Units, plugin


@plugin("split")
def time(units: Units, /, *, column: str, cut: str | int | float) -> np.ndarray:
    """One fold: units from the cut on are held out, those before are trained on and never held out.

    Args:
        column: column with times: dates (ISO 8601) or numbers.
        cut: the first time that is held out; write a date in quotes.

    Raises:
        FoldsError: no such column; a time that cannot be read; nothing before the cut, or nothing from it on.

    Example: {use: time, column: day, cut: '2021-06-30'}
    """
    if column not in units.table:
        raise FoldsError(f"split.column: no column {column!r}; the training table has {', '.join(units.table.columns)}")
    texts = units.table[column].astype(str)
    read = read_numbers if isinstance(cut, (int, float)) else read_dates
    times, limit = read(texts), read(pd.Series([str(cut)])).iloc[0]
    if pd.isna(limit):
        raise FoldsError(f"split.cut: {cut!r} is neither a number nor a date such as '2021-06-30'")
    if times.isna().any():
        first = times.index[times.isna()][0]
        raise FoldsError(
            f"split.column: {column!r} of {units.table['id'][first]} is {texts[first]!r}, which cannot be compared with the cut "
            f"{cut!r} ({int(times.isna().sum())} such units)"
        )
    held_out = (times >= limit).to_numpy()
    if held_out.all() or not held_out.any():
        raise FoldsError(
            f"split.cut: {int(held_out.sum())} of {len(times)} units are from {cut!r} on; "
            f"{column!r} runs from {times.min()} to {times.max()}"
        )
    return np.where(held_out, 0, -1).astype(np.int64)


def read_numbers(texts: pd.Series) -> pd.Series:
    return pd.to_numeric(texts, errors="coerce")


def read_dates(texts: pd.Series) -> pd.Series:
    return pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True)
