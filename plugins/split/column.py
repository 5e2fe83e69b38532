"""Split `column`: the folds are in the training table already."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin


@plugin("split")
def column(units: Units, /, *, column: str = "fold", held_out: list[str] | None = None) -> np.ndarray:
    """Folds as a column gives them: fold numbers from 0 (-1: never held out), or names of which some are held out.

    Args:
        column: the column, e.g. `fold`, or `part` of dataset `folder`.
        held_out: values that are held out, the first as fold 0; units of other values are always trained on. Null: the
            column holds fold numbers.

    Raises:
        FoldsError: no such column; values that are no fold numbers; a value of held_out that no unit has.

    Example: {use: column, column: part, held_out: [valid]}
    """
    if column not in units.table:
        raise FoldsError(f"split.column: no column {column!r}; the training table has {', '.join(units.table.columns)}")
    values = units.table[column].astype(str).str.strip()
    if held_out is not None:
        absent = sorted({str(value) for value in held_out} - set(values))
        if absent or not held_out:
            raise FoldsError(f"split.held_out: {absent or 'empty'}; {column!r} has {', '.join(sorted(set(values))[:10])}")
        fold_of_value = {str(value): fold for fold, value in enumerate(held_out)}
        return values.map(fold_of_value).fillna(-1).to_numpy(dtype=np.int64)
    wrong = ~values.str.fullmatch(r"-1|[0-9]{1,6}")
    if wrong.any():
        raise FoldsError(
            f"split.column: {column!r} of {units.table['id'][wrong].iloc[0]} is {values[wrong].iloc[0]!r}, not a fold number "
            f"(0, 1, ... or -1); for names, list those to hold out: held_out: [{values.iloc[-1]}]"
        )
    return values.to_numpy().astype(np.int64)
