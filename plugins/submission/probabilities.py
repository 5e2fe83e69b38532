"""Submission of probabilities: a column per class, one column for a binary target, or a number's value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Target, Task, plugin


@plugin("submission")
def probabilities(
    task: Task, sample: pd.DataFrame | None, /, *, positive: str | None = None, rows_sum_to_one: bool = True
) -> SubmissionForm:
    """Class probabilities in the sample's columns, matched by name; a shared prefix (`label_cat`, `label_dog`) does not matter.

    Of several targets, a binary one with one column gets the probability of its positive class; a number gets its value. One
    probability alone is written by `probability`.

    Args:
        positive: of several targets, the positive class of a binary one; by default the class that the column is named after,
            else the last.
        rows_sum_to_one: whether the competition demands it (checked only where every class of a single target has a column).

    Raises:
        SubmissionError: classes and columns do not go together, or a target is a set of labels.

    Example: {use: probabilities}
    """
    for target in task.targets:
        if target.kind == "multilabel":
            raise SubmissionError(
                f"submission probabilities wants single classes; {target.name!r} is a set of labels: use multilabel"
            )
        if positive is not None and len(task.targets) == 1:
            raise SubmissionError("submission.positive is for a binary target beside others; for one column use probability")
        if positive is not None and positive not in target.classes:
            raise SubmissionError(
                f"submission.positive: {positive!r} is no class of {target.name!r} ({', '.join(target.classes[:10])})"
            )
    if sample is None:
        return Probabilities(task, "id", list_columns(task, positive), rows_sum_to_one)
    return Probabilities(task, sample.columns[0], match_outputs(task, list(sample.columns[1:]), positive), rows_sum_to_one)


class Probabilities:
    """Attribute `outputs`: column -> which of the task's outputs stands in it."""

    def __init__(self, task: Task, id_column: str, outputs: dict[str, int], rows_sum_to_one: bool) -> None:
        self.id_column, self.outputs = id_column, outputs
        all_classes = len(task.targets) == 1 and len(task.target.classes) == len(outputs)
        self.rows_sum_to_one = rows_sum_to_one and all_classes

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(predictions[:, list(self.outputs.values())], columns=list(self.outputs))
        frame.insert(0, self.id_column, np.asarray(ids, dtype=object))
        return frame


def list_columns(task: Task, positive: str | None) -> dict[str, int]:
    """The columns where there is no sample: one per output; one for a binary target beside others."""
    found: dict[str, int] = {}
    for target in task.targets:
        start = task.slices[target.name].start
        if len(target.classes) == 2 and len(task.targets) > 1:
            found[target.name] = start + target.classes.index(positive or target.classes[-1])
        else:
            found.update({task.columns[start + place]: start + place for place in range(target.width)})
    return found


def match_outputs(task: Task, columns: list[str], positive: str | None) -> dict[str, int]:
    """The sample's answer columns, each with the output that stands in it.

    Raises:
        SubmissionError: they do not go together.
    """
    if len(task.targets) == 1 and len(columns) == 1 and task.target.classes:
        raise SubmissionError(
            f"the sample has one column, {columns[0]}, for the {task.target.width} classes of {task.target.name!r}: "
            "use probability"
        )
    if len(task.targets) == 1:
        found = match_target(task.target, columns, positive)
    else:
        found = {}
        for target in task.targets:
            own = [
                column
                for column in columns
                if column == target.name or column.startswith(tuple(f"{target.name}{mark}" for mark in "=_-. "))
            ]
            matched = match_target(target, own, positive) or {}
            found.update({column: task.slices[target.name].start + place for column, place in matched.items()})
    if not found or set(found) != set(columns):
        raise SubmissionError(
            f"the sample's columns {_shorten(columns)} do not go with the outputs {_shorten(task.columns)}. Wanted a column "
            "for each class, named as the class with or without one prefix for all; or one column for a binary target or a number"
        )
    return {column: found[column] for column in columns}


def match_target(target: Target, columns: list[str], positive: str | None) -> dict[str, int] | None:
    """Column -> class number, or None where they do not go together."""
    classes = {name: place for place, name in enumerate(target.classes)}
    if len(columns) == 1 and not classes:
        return {columns[0]: 0}
    if len(columns) == 1 and len(classes) == 2:
        own = columns[0] if columns[0] in classes else target.classes[-1]
        return {columns[0]: classes[positive or own]}
    for name in target.classes if columns else ():
        if columns[0].endswith(name):
            prefix = columns[0].removesuffix(name)
            if {prefix + other for other in classes} == set(columns):
                return {column: classes[column.removeprefix(prefix)] for column in columns}
    return None


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
