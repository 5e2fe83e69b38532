"""Counts: how often each class (or label, or range of values) stands in the training rows and in what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from comp.api import Target
from comp.pictures import format_number
from comp.predictions import Predictions

MOST_CLASSES = 30
BINS = 12
WHAT = {"regression": "range", "multilabel": "label"}


@dataclass(frozen=True)
class Side:
    """One column of the table. `counts`: (K,) int; `rows`: what their shares are of."""

    counts: np.ndarray
    rows: int

    def take(self, place: int | np.ndarray) -> tuple[int, float]:
        """How many there are at the place (or places, together), and their share."""
        count = int(np.sum(self.counts[place]))
        return count, count / max(1, self.rows)


@dataclass(frozen=True)
class Counts:
    """One target's table: the classes in their order, or of many the largest first and then all others together.

    Attributes:
        what: what a row is: class, label or range.
        rows: (name, (count, share) of training, (count, share) of what is predicted); None where there is no such side.
        largest: the largest share in it, against which bars are drawn.
    """

    target: str
    what: str
    rows: tuple[tuple[str, tuple[int, float] | None, tuple[int, float] | None], ...]
    largest: float


def count_all(train: Mapping[str, np.ndarray] | None, predicted: Predictions | None, targets: Sequence[Target]) -> list[Counts]:
    """A table for each target.

    Args:
        train: target name -> (N, ...) encoded targets of the training rows.
        predicted: one prediction per unit.
    """
    found = []
    for target in targets:
        taught = None if train is None else np.asarray(train[target.name])
        values = None if predicted is None else predicted.values[:, predicted.task.slices[target.name]]
        count = {"regression": count_ranges, "multilabel": count_labels}.get(target.kind, count_classes)
        names, *sides = count(target, taught, values)
        found.append(lay_out(target, names, *sides))
    return found


Sides = tuple[list[str], Side | None, Side | None]
"""The names of the table's rows, and how often each stands in the truth and in what is predicted."""


def count_classes(target: Target, taught: np.ndarray | None, values: np.ndarray | None) -> Sides:
    width = target.width
    train = None if taught is None else Side(np.bincount(taught[taught >= 0], minlength=width), len(taught))
    test = None if values is None else Side(np.bincount(values.argmax(axis=1), minlength=width), len(values))
    return list(target.classes), train, test


def count_labels(target: Target, taught: np.ndarray | None, values: np.ndarray | None) -> Sides:
    """With a row for those that have no label at all, where there are any."""
    sides = [None if part is None else Side(count_flags(part >= 0.5), len(part)) for part in (taught, values)]
    return [*target.classes, "(no label)"], *sides


def count_flags(flags: np.ndarray) -> np.ndarray:
    return np.append(flags.sum(axis=0), (~flags.any(axis=1)).sum())


def count_ranges(target: Target, taught: np.ndarray | None, values: np.ndarray | None) -> Sides:
    """Ranges of equal width, common to both; a range holds its lower end, the last one both."""
    parts = [None if part is None else part.reshape(-1).astype(np.float64) for part in (taught, values)]
    edges = np.histogram_bin_edges(np.concatenate([part for part in parts if part is not None]), BINS)
    names = [f"{format_number(low)} – {format_number(high)}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return names, *(None if part is None else Side(np.histogram(part, edges)[0], len(part)) for part in parts)


def lay_out(target: Target, names: Sequence[str], train: Side | None, test: Side | None) -> Counts:
    sides = (train, test)
    sums = [side.counts for side in sides if side is not None]
    order = np.arange(len(names))
    if target.kind == "multilabel" and not any(counts[-1] for counts in sums):
        order = order[:-1]
    rest = order[:0]
    if target.kind != "regression" and len(order) > MOST_CLASSES:
        order = order[np.lexsort([-counts[order] for counts in reversed(sums)])]
        order, rest = order[:MOST_CLASSES], order[MOST_CLASSES:]
    rows = [(names[place], *(side and side.take(place) for side in sides)) for place in order]
    if len(rest):
        rows.append((f"{len(rest):,} further", *(side and side.take(rest) for side in sides)))
    largest = max((share for _, *found in rows for _, share in filter(None, found)), default=0.0)
    return Counts(target.name, WHAT.get(target.kind, "class"), tuple(rows), largest or 1.0)
