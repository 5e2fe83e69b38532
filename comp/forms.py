"""Forms: which submission plugin has the sample's form, and which metrics go with it.

The metric rarely shows in the files: the likeliest is written, and it stays a question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from comp.api import Task
from comp.competition import NUMBER
from comp.notes import Notes
from comp.tables import name_few


class Form(NamedTuple):
    """A submission plugin, from what it is concluded, what is unsure, and its arguments."""

    use: str
    why: str
    question: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})


def propose_form(task: Task, sample: pd.DataFrame | None, notes: Notes) -> None:
    """Submission and metric."""
    form = choose_form(task, sample)
    use = notes.add("submission.use", form.use, form.why, form.question)
    for key, value in form.arguments.items() if use == form.use else ():
        notes.add(f"submission.{key}", value, "as the sample has it")
    likely = list_metrics(task, sample, form)
    metric = notes.add(
        "metric.use",
        likely[0],
        "usual for this form",
        f"which metric does the competition name? {likely[0]} is a guess from the form; usual are {', '.join(likely)}",
    )
    if metric == "map_at_k" and "k" in form.arguments:
        notes.add("metric.k", form.arguments["k"], "as many answers as the sample has")


def list_metrics(task: Task, sample: pd.DataFrame | None, form: Form) -> list[str]:
    """The metrics that usually go with a form, likeliest first."""
    kind = task.targets[0].kind
    if kind == "regression":
        return ["rmse", "mae", "r2"]
    if kind == "ordinal":
        return ["qwk", "accuracy", "macro_f1"]
    if form.use == "multilabel" and sample is not None and len(sample.columns) == 2:
        return ["f1", "macro_f1", "fbeta"]
    if form.use == "multilabel":
        return ["auc", "log_loss", "average_precision"] if sample is not None else ["macro_f1", "f1"]
    if form.use == "probability" or (form.use == "long" and task.kind in ("binary", "multilabel")):
        return ["auc", "log_loss", "probabilistic_f1", "average_precision"]
    if form.use in ("probabilities", "long") and "answer" not in form.arguments:
        return ["log_loss", "auc"]
    return (
        ["map_at_k", "topk_accuracy", "accuracy"] if form.use == "topk" else ["accuracy", "macro_f1", "f1", "balanced_accuracy"]
    )


def choose_form(task: Task, sample: pd.DataFrame | None) -> Form:
    """The submission that has the sample's form."""
    target = task.targets[0]
    if sample is None:
        return Form("labels", "no sample submission", "labels or probabilities?") if task.kind != "multilabel" else Form(
            "multilabel", "the task is multilabel"
        )  # fmt: skip
    answers = list(sample.columns[1:])
    if long := find_long(task, sample):
        return long
    if task.kind == "multilabel":
        return Form("multilabel", "the task is multilabel")
    if len(task.targets) == 1 and len(answers) > 1:
        return Form("probabilities", f"{len(answers)} answer columns for {target.width} classes")
    if not target.classes:
        return Form("labels", "the answer is a number")
    cells = {cell for column in answers for cell in sample[column].unique()} - {""}
    classes = {name for each in task.targets for name in each.classes}
    if task.kind == "binary" and classes == {"0", "1"} and cells <= classes:
        return Form(
            "probability",
            f"two classes, 0 and 1; the sample has {name_few(sorted(cells))}",
            "a probability, or 0 and 1 (`labels`)?",
        )
    if cells <= classes:
        shown = name_few(sorted(cells)) or "none"
        return Form("labels", f"the sample's answers are classes ({shown})")
    return choose_by_cells(task, answers, cells, classes)


def choose_by_cells(task: Task, answers: Sequence[str], cells: set[str], classes: set[str]) -> Form:
    """The form of a sample whose answers are no classes."""
    shown = name_few(sorted(cells))
    if len(task.targets) > 1:
        return Form("labels", "the sample's answers are neither classes nor probabilities", f"what stands in {shown}?")
    parts = [cell.split() for cell in cells]
    if all(part in classes for cell in parts for part in cell):
        most = max(map(len, parts))
        return Form("topk", f"the sample lists up to {most} classes a row", "are they the likeliest, best first?", {"k": most})
    if cells <= {str(number) for number in range(task.target.width)}:
        names = name_few(task.target.classes)
        other = f" If {shown} only stands in for one of them, write one into a copy of the sample" if len(cells) == 1 else ""
        question = f"are {names} numbered so, from 0?{other}"
        return Form("labels", "the sample's answers are whole numbers", question, {"write": "number"})
    if task.kind == "binary" and all(re.fullmatch(NUMBER, cell) for cell in cells):
        positive = name_positive(task.target.classes)
        which = f"is it that of {positive!r}, rather than {(set(task.target.classes) - {positive}).pop()!r}?" if positive else ""
        return Form(
            "probability", f"the sample's answers are numbers ({shown})", which, {"positive": positive} if positive else {}
        )
    if answers[0] in classes and all(re.fullmatch(NUMBER, cell) for cell in cells):
        return Form("probability", f"one column, {answers[0]}, named as a class")
    if len(cells & classes) > len(cells) / 4:
        return Form("labels", f"many of the sample's answers are classes ({name_few(sorted(cells & classes))})")
    return Form(
        "labels",
        "the sample's answers are neither classes nor probabilities",
        f"what stands in {', '.join(map(repr, answers))} ({shown})?",
    )


def name_positive(classes: Sequence[str]) -> str:
    """Of two classes that are words, the one that a probability is taken to be of: the last; "" where the numbers say it."""
    return "" if all(re.fullmatch(NUMBER, name) for name in classes) else classes[-1]


def find_long(task: Task, sample: pd.DataFrame) -> Form | None:
    """The long form, where every row is of a unit and a class (or target): by a column of names, or by the ids' endings."""
    names = set(task.targets[0].classes) if len(task.targets) == 1 else {target.name for target in task.targets}
    if not names or not len(sample):
        return None
    answers = list(sample.columns[1:])
    # A column of labels holds classes too, but then no unit stands there twice.
    if len(answers) == 2 and sample.iloc[:, 0].duplicated().any():
        by_name = [column for column in answers if set(sample[column]) <= names]
        return Form("long", f"{by_name[0]!r} says which answer a row is") if len(by_name) == 1 else None
    if len(answers) != 1:
        return None
    for separator in ("_", "-", " ", ".", "/"):
        endings = tuple(separator + name for name in names)
        if len(names) > 1 and sample.iloc[:, 0].str.endswith(endings).all():
            # Of several targets a probability can only be asked for where each has but two classes.
            several = len(task.targets) > 1 and any(target.width > 1 and len(target.classes) > 2 for target in task.targets)
            answer = {"answer": "label"} if several else {}
            why = f"its ids end in {separator!r} and {name_few(sorted(names))}"
            return Form("long", why, "", {"separator": separator, **answer})
    return None
