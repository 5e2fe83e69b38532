"""Submission of one probability: that of the positive class, or of several classes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Task, plugin


@plugin("submission")
def probability(task: Task, sample: pd.DataFrame | None, /, *, positive: str | list[str] | None = None) -> SubmissionForm:
    """The probability of the positive class in one column.

    Args:
        positive: a class, or several, whose probabilities are added; by default the class that the column is named after, else
            the last of two classes.

    Raises:
        SubmissionError: several targets, a number or a set of labels, several answer columns, or no positive class is known.

    Example: {use: probability, positive: malignant}
    """
    answers = [task.targets[0].name] if sample is None else list(sample.columns[1:])
    if len(task.targets) != 1 or task.target.link != "softmax" or len(answers) != 1:
        raise SubmissionError(
            f"submission probability writes one column for one target of classes; the task is {task.kind}, the sample's columns "
            f"are {', '.join(answers)}"
        )
    classes = task.target.classes
    if positive is None and answers[0] not in classes and len(classes) != 2:
        raise SubmissionError(
            f"submission.positive: {task.target.name!r} has {len(classes)} classes; say which one's probability is wanted "
            f"({', '.join(classes[:10])})"
        )
    chosen = positive if positive is not None else answers[0] if answers[0] in classes else classes[-1]
    chosen = [chosen] if isinstance(chosen, str) else chosen
    strange = [name for name in chosen if name not in classes]
    if strange or len(set(chosen)) < len(chosen) or not chosen:
        what = f"{strange[0]!r} is no class" if strange else "wanted one or more classes, each once, out of those"
        raise SubmissionError(f"submission.positive: {what} of {task.target.name!r} ({', '.join(classes[:10])})")
    return Positive(("id" if sample is None else sample.columns[0], answers[0]), [classes.index(name) for name in chosen])


class Positive:
    """`outputs`: the numbers of the classes that are added."""

    rows_sum_to_one = False

    def __init__(self, columns: tuple[str, str], outputs: list[int]) -> None:
        self.columns, self.outputs = columns, outputs

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        id_column, column = self.columns
        total = predictions[:, self.outputs].sum(axis=1)
        # A sum of shares may exceed 1 by its rounding; what exceeds it by more is no probability, which the kit says.
        total = np.where(total < 1 + 1e-9, np.minimum(total, 1.0), total)
        return pd.DataFrame({id_column: np.asarray(ids, dtype=object), column: total})
