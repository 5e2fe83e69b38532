"""Propose: kind of task, split, metric, form of the submission and flip.

What the tables are is concluded in conclude. These are proposals: only the competition's page knows them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    use, why, question = choose_form(task, sample)
    notes.add("submission.use", use, why, question)
    target = task.targets[0]
    by_form = {
        "multilabel": "auc" if sample is None or len(sample.columns) > 2 else "macro_f1",
        "probabilities": "auc" if task.kind == "binary" else "log_loss",
    }
    metric = "rmse" if target.kind == "regression" else by_form.get(use, "accuracy")
    notes.add(
        "metric.use",
        metric,
        "usual for this form",
        f"which metric does the competition name? {metric} is a guess from the submission's form",
    )


def choose_form(task: Task, sample: pd.DataFrame | None) -> tuple[str, str, str]:
    """The submission plugin, from what, and what is unsure."""
    target = task.targets[0]
    if task.kind == "multilabel":
        return "multilabel", "the task is multilabel", ""
    if sample is None:
        return "labels", "no sample submission", "labels or probabilities?"
    answers = list(sample.columns[1:])
    if len(task.targets) == 1 and len(answers) > 1:
        return "probabilities", f"{len(answers)} answer columns for {target.width} classes", ""
    if not target.classes:
        return "labels", "the answer is a number", ""
    cells = {cell for column in answers for cell in sample[column].unique()} - {""}
    classes = {name for each in task.targets for name in each.classes}
    if cells <= classes:
        vague = task.kind == "binary" and set(classes) == {"0", "1"}
        return (
            "labels",
            f"the sample's answers are classes ({name_few(sorted(cells))})",
            "0 and 1: labels, or probabilities (`probabilities`)?" if vague else "",
        )
    if task.kind == "binary" and all(re.fullmatch(NUMBER, cell) for cell in cells):
        return "probabilities", f"the sample's answers are numbers ({name_few(sorted(cells))})", ""
    if all(part in classes for cell in cells for part in cell.split()):
        return (
            "labels",
            "the sample lists several classes a row",
            "several answers a row, best first: `labels` gives one; is that allowed?",
        )
    return (
        "labels",
        "the sample's answers are neither classes nor probabilities",
        f"what stands in {', '.join(map(repr, answers))} ({name_few(sorted(cells))})?",
    )


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
