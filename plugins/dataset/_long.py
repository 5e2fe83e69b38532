"""Long: tables with a row for each unit and label (`ID_12_any`), or for each unit and target (`Test_0_root`), by their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from comp.api import DataError

from ._places import name_few

SEPARATORS = ("_", "-", " ", ".", "/")


def widen_rows(rows: pd.DataFrame, id: str, target: str, separator: str, name: str) -> tuple[pd.DataFrame, list[str]]:  # noqa: A002
    """A row for each unit, with a column for each label that holds what `target` says of it; and the labels, in their order.

    Rows that say the same twice count once.

    Args:
        name: of the table, for messages.

    Raises:
        DataError: no such columns, ids that are no units and labels so joined, or not each label of each unit, once.
    """
    absent = [column for column in (id, target) if column not in rows]
    if absent:
        raise DataError(f"{name} has no column {name_few(absent)}; it has {', '.join(map(repr, rows.columns))}")
    pairs = rows[[id, target]].drop_duplicates()
    ids = pairs[id]
    pieces = ids.iloc[0].split(separator) if len(ids) else []
    for count in range(len(pieces) - 1, 0, -1):
        head = separator.join(pieces[:count]) + separator
        labels = [text[len(head) :] for text in ids[ids.str.startswith(head)]]
        if len(labels) < 2 or len(set(labels)) < len(labels) or set(labels) & set(rows.columns):
            continue
        apart = ids.str.extract(f"^(.*?){re.escape(separator)}({'|'.join(map(re.escape, labels))})$")
        if apart.notna().all(axis=None) and not apart.duplicated().any() and (apart[0].value_counts() == len(labels)).all():
            wide = pd.DataFrame({"unit": apart[0], "label": apart[1], "cell": pairs[target]}).pivot(index="unit", columns="label")
            wide = wide["cell"].loc[apart[0].unique(), labels].rename_axis(columns=None).rename_axis(id).reset_index()
            return wide.astype(object), labels
    raise DataError(
        f"{name}: the {id!r} ({name_few(ids.tolist())}) are not units and labels joined by {separator!r}, every label of every "
        "unit once; dataset.long is for those"
    )


def list_units(ids: pd.Series, names: Sequence[str]) -> pd.Series | None:
    """What the ids say before a separator and one of the names, each once; None where not all end so, in several names."""
    found = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    for separator in SEPARATORS if names and len(ids) else ():
        apart = ids.str.extract(f"^(.+?){re.escape(separator)}({found})$")
        if apart.notna().all(axis=None) and apart[1].nunique() > 1:
            return apart[0].drop_duplicates().rename(ids.name)
    return None
