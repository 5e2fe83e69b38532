"""Order: which training rows an epoch shows, as a sampler answers it, checked."""

from __future__ import annotations

import numpy as np

from comp.errors import PluginError


def check_order(answer: np.ndarray, use: str, rows: int, batch_size: int, epoch: int, known: int | None) -> np.ndarray:
    """(M,) int64: a sampler's positions among the training rows, less a last one that would be a batch of its own.

    Args:
        use: the sampler's name.
        rows: how many training rows there are.
        epoch: which one was asked for.
        known: how long epoch 0 is; None: this is it.

    Raises:
        PluginError: the answer is no such positions, or not as many as for epoch 0.
    """
    order = np.asarray(answer)
    if order.ndim != 1 or not len(order) or order.dtype.kind not in "iu" or order.min() < 0 or order.max() >= rows:
        raise PluginError(
            f"sampler '{use}' answered {order.dtype} of shape {order.shape}; wanted (M,) int64 positions of the {rows} training "
            "rows"
        )
    if len(order) > 1 and batch_size > 1 and len(order) % batch_size == 1:
        order = order[:-1]  # one row is no batch: batch norm has nothing to divide by, and its step would be a full one
    if known not in (None, len(order)):
        raise PluginError(
            f"sampler '{use}' answered {len(order)} rows for epoch {epoch} and {known} for epoch 0; wanted the same number for "
            "every epoch: the schedule is made of it"
        )
    return order.astype(np.int64)
