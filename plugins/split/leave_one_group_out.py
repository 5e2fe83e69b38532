"""Split `leave_one_group_out`: each group (hospital, site, season) is held out once, alone."""

from __future__ import annotations

import numpy as np

from comp.api import FoldsError, Units, plugin

from ._groups import read_groups


@plugin("split")
def leave_one_group_out(units: Units, /, *, group: str, most: int = 20) -> np.ndarray:
    """One fold per group, in the order of the groups' names (of their numbers, where all are whole numbers).

    Args:
        group: column that names the groups.
        most: the most groups that are accepted, because each is a training; from 2.

    Raises:
        FoldsError: no such column; fewer groups than two, or more than `most`.

    Example: {use: leave_one_group_out, group: site, most: 30}
    """
    names, codes = read_groups(units, group)
    if not 2 <= len(names) <= most:
        raise FoldsError(
            f"split.group: {group!r} has {len(names)} groups, each of which would be a fold; wanted 2 to {most} (split.most). "
            "For fewer folds use {use: group}"
        )
    texts = [str(name) for name in names]
    if all(text.isdecimal() for text in texts):
        codes = np.argsort(np.argsort([int(text) for text in texts], kind="stable"), kind="stable")[codes]
    return codes
