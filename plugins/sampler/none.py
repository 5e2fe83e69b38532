"""No sampling: every training row once an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import Sampler, plugin


@plugin("sampler")
def none(targets: Mapping[str, np.ndarray], /) -> Sampler:
    """Every training row once per epoch, in random order.

    Example: {use: none}
    """
    rows = len(next(iter(targets.values())))
    return lambda generator: generator.permutation(rows)
