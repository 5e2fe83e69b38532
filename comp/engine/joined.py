"""Joined rows: those of several tables, whose images lie in stores of their own, as the training rows of one stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from comp.engine.rows import Rows
from comp.stores.stored import ImageStore


class JoinedStore:
    """Several image stores of one form, one after another; positions count through."""

    def __init__(self, stores: Sequence[ImageStore]) -> None:
        self.stores, self.form = tuple(stores), stores[0].form
        self.starts = np.cumsum([0, *(len(store) for store in stores)])
        self.threads = max(store.threads for store in stores)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, positions: np.ndarray) -> np.ndarray:
        """(n,) positions -> (n, H, W, C) uint8, a copy."""
        images = np.empty((len(positions), *self.form.shape), np.uint8)
        for at, image in enumerate(self.pictures(positions)):
            images[at] = image
        return images

    def pictures(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """(n,) positions -> each (H, W, C) uint8, not copied."""
        which = np.searchsorted(self.starts, positions, side="right") - 1
        # Each store is asked once for all of its own: one that reads ahead then can.
        streams = [iter(store.pictures(positions[which == at] - self.starts[at])) for at, store in enumerate(self.stores)]
        return map(next, map(streams.__getitem__, which.tolist()))


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Training rows and further ones, in this order. What a part lacks (targets, weights, columns) must have been given to it."""
    first = parts[0]
    if len(parts) == 1:
        return first
    stores = list({id(part.store): part.store for part in parts}.values())
    starts = dict(zip(map(id, stores), JoinedStore(stores).starts.tolist(), strict=False))

    def stack(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    def stack_each(name: str) -> Mapping[str, np.ndarray] | None:
        if getattr(first, name) is None:
            return None
        return {key: np.concatenate([getattr(part, name)[key] for part in parts]) for key in getattr(first, name)}

    return Rows(
        JoinedStore(stores) if len(stores) > 1 else first.store,
        stack("ids"),
        stack("row_ids"),
        np.concatenate([part.positions + starts[id(part.store)] for part in parts]),
        stack("keys"),
        stack_each("targets"),
        stack("weights"),
        None if first.columns is None else pd.concat([part.columns for part in parts], ignore_index=True),
        stack("table"),
        stack("labelled"),
        stack_each("teacher"),
    )
