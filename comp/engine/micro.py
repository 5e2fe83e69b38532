"""Micro-batches: a batch in pieces that the device's memory holds, one after another in the same optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from comp.engine.context import StageContext, Step
from comp.errors import RunError


def split_step(step: Step, most: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Images and rows in pieces of nearly equal size, of `most` rows; none of a turn without rows."""
    pieces = math.ceil(len(step.rows) / most)
    if pieces < 2:
        return [(step.images, step.rows)] * pieces
    return zip(step.images.tensor_split(pieces), step.rows.tensor_split(pieces), strict=True)


def halve_rows(rows: int, context: StageContext, failure: Exception) -> int:
    """How many rows a micro-batch has after so many were too many.

    Raises:
        RunError: one row is too many, or the batch norms that are synchronised want whole batches.
    """
    if rows < 2:
        why = "the device's memory does not hold one training image; lower image.size or take a smaller model."
        raise RunError(why) from failure
    if context.stage["train"]["sync_batch_norm"]:
        why = "out of memory: batches whose batch norm is synchronised are not split; lower train.batch_size."
        raise RunError(why) from failure
    return math.ceil(rows / 2)
