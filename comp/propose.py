"""Propose: kind of task, split, metric, form of the submission and flip.

What the tables are is concluded in conclude. These are proposals: only the competition's page knows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from comp.api import Task
from comp.competition import NUMBER, is_flags
from comp.inline import to_yaml
from comp.notes import Notes
from comp.tables import name_few

GROUPS = re.compile(
    r"(^|_)(patients?|study|series|location|site|subject|drawer|writer|person|case|slide|hospital|session|scene|camera|sequence|seq"
    r"|individual|animal|video|user|group|well|plate)(_?(id|uid|name|no|number|instance_?uid))?$", re.I,
)  # fmt: skip
GRADES = re.compile("grade|diagnosis|severity|stage|level|rating|score|age", re.I)
SEPARATORS = (" ", ",", ";", "|")
TELLING = frozenset("left right laterality character characters letter letters digit digits text glyph kanji hangul".split())


def propose_kind(train: pd.DataFrame, sample: pd.DataFrame | None, targets: Sequence[str], notes: Notes) -> str | None:
    """What `task.kind` must say because columns alone would be taken for something else; `dataset.separator` where sets are."""
    if len(targets) > 1:
        flags = all(is_flags(train[column]) for column in targets)
        exclusive = flags and (train[list(targets)].astype(float).sum(axis=1) == 1).all()
        question = (
            "every row has exactly one 1: are these classes of one target, rather than labels of their own?" if exclusive else ""
        )
        return notes.add(
            "task.kind",
            "multilabel" if flags else "multitarget",
            f"{len(targets)} target columns of {'0 and 1' if flags else 'their own'}",
            question,
        )
    name, values = targets[0], train[targets[0]]
    separator, question = find_separator(values)
    if separator:
        notes.add(
            "dataset.separator",
            separator,
            f"{name!r} holds sets, such as {values[values.str.contains(separator, regex=False)].iloc[0]!r}",
            question,
        )
        return notes.add("task.kind", "multilabel", "sets of labels")
    distinct = pd.Series(values[values != ""].unique())
    if not distinct.str.fullmatch(NUMBER).all() or len(distinct) <= 2:
        kind = "binary" if len(distinct) == 2 else "multiclass"
        return notes.add("task.kind", kind, f"{len(distinct)} different values in {name!r}")
    numbers = pd.to_numeric(distinct)
    if (numbers % 1 != 0).any():
        return notes.add("task.kind", "regression", f"{name!r} holds numbers with fractions")
    cells = pd.to_numeric(sample[name], errors="coerce") if sample is not None and name in sample else pd.Series(dtype=float)
    if (cells % 1 > 0).any():
        return notes.add(
            "task.kind",
            "regression",
            f"{name!r} holds {len(distinct)} whole numbers, the sample fractions",
            "numbers, or classes?",
        )
    if GRADES.search(name):
        return notes.add(
            "task.kind",
            "multiclass",
            f"{len(distinct)} whole numbers in {name!r}",
            "do the classes have an order (`ordinal`, or `regression`)?",
        )
    many = len(distinct) > 50 and len(distinct) > 0.02 * len(values) and numbers.max() - numbers.min() < 2 * len(distinct)
    return notes.add(
        "task.kind",
        "multiclass",
        f"{len(distinct)} whole numbers in {name!r}",
        "classes, or a number (`regression`)?" if many else "",
    )


def find_separator(values: pd.Series) -> tuple[str | None, str]:
    """What joins labels in cells that hold sets, if they do: there are fewer labels than different cells, and they recur."""
    cells = set(values.unique()) - {""}
    for separator in SEPARATORS:
        sets = [cell.split(separator) for cell in cells if separator in cell]
        labels = {label.strip() for cell in cells for label in cell.split(separator)} - {""}
        if sets and len(labels) < len(cells):
            alone = sum(label in cells for label in labels)
            sure = alone >= len(labels) / 2 or all(re.fullmatch(NUMBER, label) for label in labels)
            return separator, "" if sure else f"are these sets of {len(labels)} labels, or names of single classes?"
    return None, ""


def propose_split(task: Task, train: pd.DataFrame, others: Sequence[pd.DataFrame | None], notes: Notes) -> None:
    """A split by kind; a group is offered, not taken: only the user knows whether test groups are new."""
    known = {column for table in others if table is not None for column in table.columns}
    answers = {column for target in task.targets for column in target.columns}
    columns = [column for column in train.columns if column not in ("row_id", "id", "image") and column not in answers]
    groups = [column for column in columns if GROUPS.search(column) and 1 < train[column].nunique() < len(train)]
    use = "multilabel" if task.kind == "multilabel" else "stratified"
    notes.add("split.use", use, f"the task is {task.kind}")
    units = train["id"].nunique()
    notes.add("split.folds", max(2, min(5, units)), "the usual number" if units >= 5 else f"there are {units} units")
    notes.add("split.seed", 42, "the split's own")
    if groups:
        where = "the test table has it too" if groups[0] in known else "only the training table has it"
        more = f" (or {', '.join(groups[1:])})" if groups[1:] else ""
        above = "write `use: stratified` above and " if use != "stratified" else ""
        notes.add(
            "split.group",
            None,
            f"{train[groups[0]].nunique()} different {groups[0]!r} in {len(train)} rows, {where}",
            f"will the test set bring a new {groups[0]!r}{more}? Then keep each in one fold: {above}take the line below",
            f"group: {to_yaml(groups[0])}",
        )


def propose_form(task: Task, sample: pd.DataFrame | None, notes: Notes) -> None:
    """Submission and metric."""
    form = choose_form(task, sample)
    notes.add("submission.use", form.use, form.why, form.question)
    for key, value in form.arguments.items():
        notes.add(f"submission.{key}", value, "as the sample has it")
    metric = choose_metric(task, sample, form)
    notes.add(
        "metric.use",
        metric,
        "usual for this form",
        f"which metric does the competition name? {metric} is a guess from the submission's form",
    )
    if metric == "map_at_k":
        notes.add("metric.k", form.arguments["k"], "as many answers as the sample has")


class Form(NamedTuple):
    """A submission plugin, from what it is concluded, what is unsure, and its arguments."""

    use: str
    why: str
    question: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})


def choose_metric(task: Task, sample: pd.DataFrame | None, form: Form) -> str:
    """The metric that usually goes with a form."""
    if task.targets[0].kind == "regression":
        return "rmse"
    if form.use in ("probability", "long"):
        return "auc" if task.kind in ("binary", "multilabel") or form.use == "probability" else "log_loss"
    if form.use == "multilabel":
        return "auc" if sample is None or len(sample.columns) > 2 else "macro_f1"
    return {"probabilities": "log_loss", "topk": "map_at_k"}.get(form.use, "accuracy")


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
    if cells <= classes:
        vague = task.kind == "binary" and set(classes) == {"0", "1"}
        return Form(
            "labels",
            f"the sample's answers are classes ({name_few(sorted(cells))})",
            "0 and 1: labels, or a probability (`probability`)?" if vague else "",
        )
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
        return Form("labels", "the sample's answers are whole numbers", f"are {names} numbered so, from 0?", {"write": "number"})
    if task.kind == "binary" and all(re.fullmatch(NUMBER, cell) for cell in cells):
        return Form("probability", f"the sample's answers are numbers ({shown})")
    if answers[0] in classes and all(re.fullmatch(NUMBER, cell) for cell in cells):
        return Form("probability", f"one column, {answers[0]}, named as a class")
    return Form(
        "labels",
        "the sample's answers are neither classes nor probabilities",
        f"what stands in {', '.join(map(repr, answers))} ({shown})?",
    )


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
            return Form("long", f"its ids end in {separator!r} and {name_few(sorted(names))}", "", {"separator": separator})
    return None


def propose_flip(task: Task, columns: Sequence[str]) -> tuple[bool, str, str]:
    """Whether a mirrored image keeps its class; why; what is unsure."""
    names = [name for target in task.targets for name in target.classes]
    words = {
        word for text in (*names, *columns) for word in re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    }
    telling = sorted(words & TELLING)
    if telling:
        return False, f"names speak of {', '.join(telling)}, which a mirror changes", ""
    single = {name for name in names if len(name) == 1}
    if set("0123456789") <= single or sum(name.isalpha() for name in single) >= 10:
        return False, f"classes such as {name_few(sorted(single))} look like written digits or letters", "is it so? Else true"
    return True, "no class name speaks against it", ""
