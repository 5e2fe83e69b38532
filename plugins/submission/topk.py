"""Submission of the k likeliest classes, best first, in one cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Task, plugin


@plugin("submission")
def topk(task: Task, sample: pd.DataFrame | None, /, *, k: int = 5, separator: str = " ") -> SubmissionForm:
    """The k likeliest classes (or labels) of a unit, best first, written as the training table writes them, in one column.

    Of equal probabilities the first class comes first; where there are fewer classes than k, all of them.

    Args:
        k: how many answers a unit gets, from 1.
        separator: what joins them.

    Raises:
        SubmissionError: several targets, a number, several answer columns, or classes that hold the separator.

    Example: {use: topk, k: 5}
    """
    answers = [task.targets[0].name] if sample is None else list(sample.columns[1:])
    if len(task.targets) != 1 or not task.target.classes or len(answers) != 1:
        raise SubmissionError(
            f"submission topk writes the classes of one target into one column; the task is {task.kind}, the sample's columns "
            f"are {', '.join(answers)}"
        )
    if k < 1:
        raise SubmissionError(f"submission.k is {k}; wanted 1 or more")
    torn = [name for name in task.target.classes if separator in name]
    if torn or not separator:
        raise SubmissionError(
            f"submission.separator: {separator!r} cannot join {torn[0] if torn else 'classes'!r}; wanted text that no class holds"
        )
    return TopK(("id" if sample is None else sample.columns[0], answers[0]), task.target.classes, k, separator)


class TopK:
    rows_sum_to_one = False

    def __init__(self, columns: tuple[str, str], classes: tuple[str, ...], k: int, separator: str) -> None:
        self.columns, self.classes, self.k, self.separator = columns, classes, k, separator

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        id_column, column = self.columns
        best = np.argsort(-predictions, axis=1, kind="stable")[:, : self.k]
        cells = [self.separator.join(row) for row in np.asarray(self.classes, dtype=object)[best]]
        return pd.DataFrame({id_column: np.asarray(ids, dtype=object), column: np.asarray(cells, dtype=object)})
