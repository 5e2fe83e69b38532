"""Submission in long form: one row per unit and class, or per unit and target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Target, Task, plugin


@plugin("submission")
def long(
    task: Task,
    sample: pd.DataFrame | None,
    /,
    *,
    separator: str = "_",
    answer: Literal["probability", "label"] = "probability",
) -> SubmissionForm:
    """A row per (unit, class) with the class's probability; of several targets a row per (unit, target) with its answer.

    The class or target stands in the id (`ID_28fbab7eb_epidural`), where the sample has two columns, or in a column of its own,
    where it has three. Names that the sample does not ask for are left out.

    Args:
        separator: what joins unit and name in an id.
        answer: of several targets: probability: of a binary target's last class; label: the likeliest class, as the training
            table writes it. A number is its value either way.

    Raises:
        SubmissionError: the sample's columns or names are not those, or a target has no single probability.

    Example: {use: long, separator: _}
    """
    entries = [Entry(name, 0, place) for place, name in enumerate(task.targets[0].classes)]
    if len(task.targets) > 1:
        entries = [make_entry(task, target, answer) for target in task.targets]
    elif not entries:
        raise SubmissionError(f"submission long wants classes, or several targets; {task.target.name!r} is a number: use labels")
    if sample is None:
        return Long(("id", None, "answer"), separator, entries, task, [])
    if not len(sample):
        raise SubmissionError("the sample has no rows, so that it does not say which names it asks for; wanted one with its ids")
    columns = list(sample.columns)
    if len(columns) == 2:
        units, asked = split_ids(sample.iloc[:, 0].tolist(), [entry.name for entry in entries], separator)
        return Long((columns[0], None, columns[1]), separator, [entry for entry in entries if entry.name in asked], task, units)
    names = {entry.name for entry in entries}
    keys = [column for column in columns[1:] if set(sample[column]) <= names]
    if len(columns) != 3 or len(keys) != 1:
        raise SubmissionError(
            f"the sample's columns are {', '.join(columns)}; submission long wants two (ids that end in {separator!r} and a "
            f"name), or three, one of which holds the names ({', '.join(sorted(names)[:8])})"
        )
    asked, value = set(sample[keys[0]]), next(column for column in columns[1:] if column != keys[0])
    units = sample.iloc[:, 0].drop_duplicates().tolist()
    return Long((columns[0], keys[0], value), separator, [entry for entry in entries if entry.name in asked], task, units)


class Entry:
    """One row of each unit: what it is called, and where its answer comes from.

    `place`: the output whose number is written; None: the likeliest class of target number `target`.
    """

    def __init__(self, name: str, target: int, place: int | None) -> None:
        self.name, self.target, self.place = name, target, place


def make_entry(task: Task, target: Target, answer: str) -> Entry:
    """Raises: SubmissionError: several probabilities, or several labels, for one row."""
    start = task.slices[target.name].start
    if not target.classes:
        return Entry(target.name, 0, start)
    if target.kind == "multilabel":
        raise SubmissionError(f"submission long writes one answer per target; {target.name!r} is a set of labels")
    if answer == "label":
        return Entry(target.name, task.targets.index(target), None)
    if target.width != 2:
        raise SubmissionError(
            f"submission.answer: {target.name!r} has {target.width} classes, so no one probability; wanted label"
        )
    return Entry(target.name, 0, start + 1)


def split_ids(ids: list[str], names: list[str], separator: str) -> tuple[list[str], set[str]]:
    """The units that the sample's ids begin with, in order, and the names that they end in.

    Raises:
        SubmissionError: an id that ends in none of the names.
    """
    endings = sorted((separator + name for name in names), key=len, reverse=True)
    units, asked = {}, set()
    for text in ids:
        ending = next((ending for ending in endings if text.endswith(ending)), None)
        if ending is None:
            raise SubmissionError(
                f"the sample's id {text!r} does not end in {separator!r} and one of {', '.join(names[:8])}: say what joins them "
                "(submission.separator)"
            )
        units[text.removesuffix(ending)] = None
        asked.add(ending.removeprefix(separator))
    return list(units), asked


class Long:
    """Attributes that the kit reads: `keys`: the columns that name a row; `units`: the ids that the sample asks for."""

    rows_sum_to_one = False

    def __init__(
        self, columns: tuple[str, str | None, str], separator: str, entries: list[Entry], task: Task, units: list[str]
    ) -> None:
        self.columns, self.separator, self.entries, self.task, self.units = columns, separator, entries, task, units
        self.keys = tuple(column for column in columns[:2] if column is not None)

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        id_column, key, value = self.columns
        names, count = [entry.name for entry in self.entries], len(self.entries)
        units = np.repeat(np.asarray(ids, dtype=object), count)
        rows = np.tile(np.asarray(names, dtype=object), len(ids))
        answers = np.stack([self.answer(entry, predictions) for entry in self.entries], axis=1).reshape(-1)
        if key is None:
            joined = [f"{unit}{self.separator}{name}" for unit, name in zip(units, rows, strict=True)]
            return pd.DataFrame({id_column: np.asarray(joined, dtype=object), value: answers})
        return pd.DataFrame({id_column: units, key: rows, value: answers})

    def answer(self, entry: Entry, predictions: np.ndarray) -> np.ndarray:
        """(N,) float64, or text; where any row of a unit is text, numbers become text too."""
        if entry.place is not None:
            numbers = predictions[:, entry.place].astype(np.float64)
            return numbers if all(other.place is not None for other in self.entries) else numbers.astype(str).astype(object)
        target = self.task.targets[entry.target]
        return np.asarray(target.classes, dtype=object)[predictions[:, self.task.slices[target.name]].argmax(axis=1)]
