"""Submission of labels: the answer itself, one column per target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Target, Task, plugin


@plugin("submission")
def labels(task: Task, sample: pd.DataFrame | None, /, *, columns: dict[str, str] | None = None) -> SubmissionForm:
    """The likeliest class of each target, written exactly as the training table writes it; a number as its value.

    Args:
        columns: target -> column of the sample, where the sample names them otherwise. A single target needs no naming.

    Raises:
        SubmissionError: the targets do not fit the sample's columns, or a target is a set of labels.
    """
    sets = [target.name for target in task.targets if target.kind == "multilabel"]
    if sets:
        raise SubmissionError(f"submission labels writes one class; {sets[0]!r} is a set of labels: use multilabel")
    return Labels(task, "id" if sample is None else sample.columns[0], match_targets(task, sample, columns or {}))


class Labels:
    """Attribute `columns`: the sample's column -> the target it answers, in the sample's order."""

    rows_sum_to_one = False

    def __init__(self, task: Task, id_column: str, columns: dict[str, Target]) -> None:
        self.task, self.id_column, self.columns = task, id_column, columns

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        answers: dict[str, np.ndarray] = {self.id_column: np.asarray(ids, dtype=object)}
        for column, target in self.columns.items():
            part = predictions[:, self.task.slices[target.name]]
            answers[column] = np.asarray(target.classes, dtype=object)[part.argmax(axis=1)] if target.classes else part[:, 0]
        return pd.DataFrame(answers)


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
