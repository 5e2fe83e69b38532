"""Classes: how well each class is found, and averages over classes, as scikit-learn's classification_report defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comp.api import Target
from comp.report.answered import Answered
from comp.report.confusion import Confusion, divide
from comp.report.tables import rank_classes


@dataclass(frozen=True)
class ClassReport:
    """One target's classes, or labels.

    Attributes:
        support, given, hits: (K,) int64: units that are of the class, that were given it, and both.
        samples: mean over the units of precision, recall and F1 of their sets of labels; None for one class per unit.
    """

    target: Target
    support: np.ndarray
    given: np.ndarray
    hits: np.ndarray
    samples: tuple[float, float, float] | None = None

    @property
    def recall(self) -> np.ndarray:
        """(K,) float64, NaN for a class without units."""
        return divide(self.hits, self.support)

    @property
    def precision(self) -> np.ndarray:
        """(K,) float64, NaN for a class that is never predicted."""
        return divide(self.hits, self.given)

    @property
    def f1(self) -> np.ndarray:
        """(K,) float64, NaN for a class with neither."""
        return divide(2 * self.hits, self.support + self.given)

    @property
    def present(self) -> np.ndarray:
        """(P,) positions of the classes that are the truth or the answer of some unit; a label counts always."""
        return np.arange(len(self.support)) if self.samples else np.flatnonzero(self.support + self.given)

    def average(self) -> list[tuple[str, float | None, float | None, float]]:
        """(name, precision, recall, F1): accuracy (of labels: the micro average), macro and weighted averages, and of labels the
        average over samples. What is undefined counts as 0.
        """
        counts = [int(part.sum()) for part in (self.hits, self.given, self.support)]
        columns = [np.nan_to_num(part[self.present]) for part in (self.precision, self.recall, self.f1)]
        weights = self.support[self.present] / max(1, counts[2])
        macro = tuple(float(column.mean()) if len(column) else 0.0 for column in columns)
        weighted = tuple(float(column @ weights) for column in columns)
        if self.samples is None:
            first: tuple[str, float | None, float | None, float] = ("accuracy", None, None, counts[0] / max(1, counts[2]))
            return [first, ("macro average", *macro), ("weighted average", *weighted)]
        micro = (counts[0] / max(1, counts[1]), counts[0] / max(1, counts[2]), 2 * counts[0] / max(1, counts[1] + counts[2]))
        return [
            ("micro average", *micro),
            ("macro average", *macro),
            ("weighted average", *weighted),
            ("average over units", *self.samples),
        ]


def report_classes(answers: Sequence[Answered], confusions: Sequence[Confusion]) -> list[ClassReport]:
    """A report for each target that has classes or labels, in the task's order."""
    single = {confusion.target.name: confusion for confusion in confusions}
    found = []
    for answered in answers:
        if confusion := single.get(answered.target.name):
            found.append(ClassReport(answered.target, confusion.support, confusion.given, confusion.hits))
        elif answered.target.kind == "multilabel":
            found.append(report_labels(answered))
    return found


def report_labels(answered: Answered) -> ClassReport:
    """A label is given from a probability of 0.5 on; post has moved its threshold there."""
    truth, given = answered.truth >= 0.5, answered.values >= 0.5
    hits = truth & given
    parts = [divide(hits.sum(axis=1), given.sum(axis=1)), divide(hits.sum(axis=1), truth.sum(axis=1))]
    parts.append(divide(2 * hits.sum(axis=1), truth.sum(axis=1) + given.sum(axis=1)))
    samples = tuple(float(np.nan_to_num(part).mean()) if len(part) else 0.0 for part in parts)
    return ClassReport(answered.target, truth.sum(axis=0), given.sum(axis=0), hits.sum(axis=0), samples)


def class_rows(
    scores: Mapping[str, Any], reports: Sequence[ClassReport], confusions: Sequence[Confusion]
) -> list[dict[str, Any]]:
    """One row per class, the worst first: by the metric's score of the class, else by recall (a class without units last)."""
    ranked = dict(rank_classes(scores)) if scores else {}
    several = len(scores["per_target"] if scores else reports) > 1
    single = {confusion.target.name: confusion for confusion in confusions}
    rows: dict[str, dict[str, Any]] = {}
    for report in reports:
        confusion = single.get(report.target.name)
        for position in report.present:
            name = report.target.classes[position]
            shown = f"{report.target.name}={name}" if several else name
            rows[shown] = {
                "name": shown,
                "units": int(report.support[position]),
                "recall": report.recall[position],
                "precision": report.precision[position],
                "f1": report.f1[position],
                "taken_for": confusion.mostly_taken_for(position) if confusion else "",
                "score": ranked.get(shown),
            }
    if not ranked:
        return sorted(rows.values(), key=lambda row: (row["units"] == 0, row["recall"], -row["units"]))
    blank = {"units": None, "recall": None, "precision": None, "f1": None, "taken_for": ""}
    first = [rows.pop(name, {"name": name, **blank, "score": score}) for name, score in ranked.items()]
    return [*first, *rows.values()]


def average_rows(reports: Sequence[ClassReport]) -> list[dict[str, Any]]:
    """What stands below the classes; each target's is named where there are several."""
    return [
        {
            "name": f"{report.target.name}: {name}" if len(reports) > 1 else name,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "units": int(report.support.sum()),
        }
        for report in reports
        for name, precision, recall, f1 in report.average()
    ]
