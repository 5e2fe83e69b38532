"""Submission of sets of labels: a probability per label, or the set in one column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from comp.api import SubmissionError, SubmissionForm, Target, Task, plugin


@plugin("submission")
def multilabel(
    task: Task,
    sample: pd.DataFrame | None,
    /,
    *,
    form: Literal["auto", "columns", "set"] = "auto",
    threshold: float = 0.5,
    separator: str | None = None,
    empty: str | None = None,
) -> SubmissionForm:
    """A probability column per label, matched by name (a prefix that all share does not matter), or the set of labels as text.

    Args:
        form: `columns`: a probability per label; `set`: the labels in one column, in class order; `auto`: a set where the
            sample has one answer column (without a sample: where the training table has one).
        threshold: a set holds the labels of this probability or more.
        separator: what joins a set; by default as in the training table, else a space.
        empty: what stands where no label reaches the threshold; by default the likeliest label.

    Raises:
        SubmissionError: the task is not one multilabel target, or labels and columns do not go together.

    Example: {use: multilabel, form: set, threshold: 0.4}
    """
    if len(task.targets) != 1 or task.target.kind != "multilabel":
        raise SubmissionError(
            f"submission multilabel wants one target of several labels; the task is {task.kind}: use labels or probabilities"
        )
    target = task.target
    answers = None if sample is None else list(sample.columns[1:])
    id_column = "id" if sample is None else sample.columns[0]
    one_column = len(answers) == 1 if answers is not None else target.separator is not None
    if form == "columns" or (form == "auto" and not one_column):
        return LabelColumns(id_column, match_labels(target, answers))
    if answers is not None and len(answers) != 1:
        raise SubmissionError(f"submission.form: a set is one column; the sample has {len(answers)} ({', '.join(answers[:8])})")
    joiner = separator if separator is not None else target.separator or " "
    return LabelSets(target, (id_column, answers[0] if answers else target.name), threshold, joiner, empty)


class LabelColumns:
    """Attribute `labels`: column -> the number of its label."""

    rows_sum_to_one = False

    def __init__(self, id_column: str, labels: dict[str, int]) -> None:
        self.id_column, self.labels = id_column, labels

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(predictions[:, list(self.labels.values())], columns=list(self.labels))
        frame.insert(0, self.id_column, np.asarray(ids, dtype=object))
        return frame


class LabelSets:
    """Attribute `separator`: what joins several answers in a cell."""

    rows_sum_to_one = False

    def __init__(self, target: Target, columns: tuple[str, str], threshold: float, separator: str, empty: str | None) -> None:
        self.target, self.columns, self.threshold, self.separator, self.empty = target, columns, threshold, separator, empty

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame:
        id_column, column = self.columns
        names = np.asarray(self.target.classes, dtype=object)
        likeliest = names[predictions.argmax(axis=1)]
        sets = [
            self.separator.join(names[chosen]) or (likeliest[row] if self.empty is None else self.empty)
            for row, chosen in enumerate(predictions >= self.threshold)
        ]
        return pd.DataFrame({id_column: np.asarray(ids, dtype=object), column: np.asarray(sets, dtype=object)})


def match_labels(target: Target, columns: list[str] | None) -> dict[str, int]:
    """The sample's answer columns, each with the number of its label.

    Raises:
        SubmissionError: they do not go together one to one.
    """
    labels = {name: place for place, name in enumerate(target.classes)}
    if columns is None:
        return labels
    for name in labels:
        if columns[0].endswith(name):
            prefix = columns[0].removesuffix(name)
            if {prefix + label for label in labels} == set(columns):
                return {column: labels[column.removeprefix(prefix)] for column in columns}
    raise SubmissionError(
        f"the sample's {len(columns)} columns ({', '.join(columns[:8])}) are not the {len(labels)} labels "
        f"({', '.join(target.classes[:8])}), with or without one prefix for all"
    )
