"""Submission of labels: the answer itself, one column per target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Target, Task, plugin


@plugin("submission")
def labels(
    task: Task,
    sample: pd.DataFrame | None,
    /,
    *,
    columns: dict[str, str] | None = None,
    write: Literal["class", "number"] | dict[str, str | int] = "class",
) -> SubmissionForm:
    """The likeliest class of each target, written exactly as the training table writes it; a number as its value.

    Args:
        columns: target -> column of the sample, where the sample names them otherwise. A single target needs no naming.
        write: class: as in the training table; number: its number in class order, from 0; or class -> what is written for it.

    Raises:
        SubmissionError: the targets do not fit the sample's columns, a target is a set of labels, or `write` lacks a class.

    Example: {use: labels}
    """
    sets = [target.name for target in task.targets if target.kind == "multilabel"]
    if sets:
        raise SubmissionError(f"submission labels writes one class; {sets[0]!r} is a set of labels: use multilabel")
    written = {target.name: list_answers(target, write) for target in task.targets}
    return Labels(task, "id" if sample is None else sample.columns[0], match_targets(task, sample, columns or {}), written)


class Labels:
    """Attributes: `columns`: the sample's column -> the target it answers, in the sample's order; `written`: target -> what is
    written for each class."""

    rows_sum_to_one = False

    def __init__(self, task: Task, id_column: str, columns: dict[str, Target], written: dict[str, list[str]]) -> None:
        self.task, self.id_column, self.columns, self.written = task, id_column, columns, written

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        answers: dict[str, np.ndarray] = {self.id_column: np.asarray(ids, dtype=object)}
        for column, target in self.columns.items():
            part = predictions[:, self.task.slices[target.name]]
            known = np.asarray(self.written[target.name], dtype=object)
            answers[column] = known[part.argmax(axis=1)] if target.classes else part[:, 0]
        return pd.DataFrame(answers)


def list_answers(target: Target, write: str | dict[str, str | int]) -> list[str]:
    """What is written for each class of a target.

    Raises:
        SubmissionError: a mapping lacks a class.
    """
    if isinstance(write, str):
        return [*target.classes] if write == "class" else [str(number) for number in range(len(target.classes))]
    lacking = [name for name in target.classes if name not in write]
    if lacking:
        raise SubmissionError(f"submission.write says nothing of {', '.join(map(repr, lacking[:5]))} of {target.name!r}")
    return [str(write[name]) for name in target.classes]


def match_targets(task: Task, sample: pd.DataFrame | None, columns: dict[str, str]) -> dict[str, Target]:
    """The sample's answer columns, each with its target.

    Raises:
        SubmissionError: they do not go together one to one.
    """
    names = {columns.get(target.name, target.name): target for target in task.targets}
    if sample is None:
        return names
    answers = list(sample.columns[1:])
    if len(answers) == 1 and len(task.targets) == 1 and not columns:
        return {answers[0]: task.target}
    if set(answers) != set(names) or not set(columns) <= {target.name for target in task.targets}:
        raise SubmissionError(
            f"the sample's columns are {', '.join(answers)}; the targets are {', '.join(names)}. "
            "Say which is which: submission.columns: {target: column}"
        )
    return {column: names[column] for column in answers}
