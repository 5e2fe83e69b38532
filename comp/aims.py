"""Aims: which columns of a competition's tables are to be predicted, and what kind of task that makes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from comp.competition import NUMBER, is_flags
from comp.inline import to_yaml
from comp.notes import Notes
from comp.sheets import Sheets, list_columns
from comp.tables import name_few
from comp.unsettled import UNKNOWN

LABEL_NAMES = ("label", "labels", "target", "class", "category", "category_id", "species", "breed", "diagnosis", "y")
GROUPS = re.compile(
    r"(^|_)(patients?|study|series|location|site|subject|drawer|writer|person|case|slide|hospital|session|scene|camera|sequence|seq"
    r"|individual|animal|video|user|group|well|plate)(_?(id|uid|name|no|number|instance_?uid))?$", re.I,
)  # fmt: skip
ORDERED = re.compile("grade|diagnosis|severity|stage|level", re.I)
RATED = re.compile("rating|score|age", re.I)
SEPARATORS = (" ", ",", ";", "|")
MOST_GRADES = 10
ONE_HOT = "class"
PROPERTIES = ("file_name", "width", "height", "license", "rights_holder", "date_captured", "coco_url", "flickr_url")
"""What COCO says of an image file itself."""


def conclude_targets(sheets: Sheets, taken: set[str], notes: Notes) -> list[str]:
    """`dataset.target`; none where it is UNKNOWN."""
    if sheets.long is not None:
        separator, flags, labels = sheets.long
        notes.add("dataset.long", separator, f"{sheets.names['train']} has a row for each id and label ({name_few(labels)})")
        notes.add("dataset.target", flags, "holds 0 and 1")
        return labels
    value, why, question = choose_targets(sheets, taken, notes.get("dataset.folders") is not None)
    found = notes.add("dataset.target", value, why, question)
    targets = [found] if isinstance(found, str) else list(found)
    return [] if UNKNOWN in targets or not set(targets) <= set(sheets.train) else targets


def choose_targets(sheets: Sheets, taken: set[str], is_folders: bool = False) -> tuple[str | list[str], str, str]:
    """The target's columns, why, and a question where it is unsure. `is_folders`: whether a row is a folder of images."""
    train, sample = sheets.train, sheets.sample
    answers = [] if sample is None else list(sample.columns[1:])
    if answers and set(answers) <= set(train.columns) - taken:
        why = f"in {sheets.names['train']} and {sheets.names['sample']}"
        return (answers if len(answers) > 1 else answers[0]), why, ""
    if sheets.units is not None and sample is not None:
        found = "|".join(sorted(map(re.escape, train.columns), key=len, reverse=True))
        ends = set(sample.iloc[:, 0].str.extract(f"[^a-zA-Z0-9]({found})$")[0])
        return [column for column in train if column in ends], f"the ids of {sheets.names['sample']} end in them", ""
    known = taken | set(PROPERTIES) | (set() if sheets.test is None else set(sheets.test.columns))
    candidates = [column for column in train if column not in known and train[column].nunique() > 1]
    # Numbers of rows hold the sample's 0, too.
    by_values = [column for column in candidates if not train[column].is_unique and has_values(train[column], sample, answers)]
    if len(answers) > 1 and len(by_values) == 1:
        return by_values[0], "its values are the columns of the sample", ""
    likely = [column for column in by_values or candidates if not GROUPS.search(column)] or by_values
    likely.sort(
        key=lambda column: (not any(is_alike(column, answer) for answer in answers[:1]), column.lower() not in LABEL_NAMES)
    )
    by_name = [
        column for column in likely if column.lower() in LABEL_NAMES or any(is_alike(column, each) for each in answers[:1])
    ]
    if not likely or (len(likely) > 1 and not by_name and not by_values):
        return (
            UNKNOWN,
            "not to be concluded",
            f"which column is to be predicted? {list_columns(train[candidates] if candidates else train)}"
            + ("; an image's is `file`. `derive: [name = …]` works one out of several" if is_folders else ""),
        )
    why = "its name" if by_name else "the only column that the test table lacks"
    why = "its values are those of the sample" + (f", and {why}" if by_name else "") if by_values else why
    sure = len(by_values) == 1 and bool(by_name)
    return likely[0], why, "" if sure else f"is {likely[0]!r} the target? {list_columns(train)}"


def has_values(values: pd.Series, sample: pd.DataFrame | None, answers: Sequence[str]) -> bool:
    """Whether the sample's columns, or its cells (each a value or several), are a column's values."""
    if sample is None or not answers:
        return False
    distinct = set(values.unique()) - {""}
    if len(answers) > 1:
        return distinct == set(answers)
    cells = set(sample[answers[0]].unique()) - {""}
    parts = {part for cell in cells for part in cell.split()}
    # A dummy may be drawn at random from numbers of which not all are classes.
    return bool(cells) and (cells <= distinct or parts <= distinct or (len(cells) > 3 and len(cells & distinct) > len(cells) / 4))


def is_alike(column: str, header: str) -> bool:
    """`category_id` and `Category`."""
    return column.lower().removesuffix("_id") == header.lower().removesuffix("_id")


def offer_auxiliary(sheets: Sheets, targets: Sequence[str], taken: set[str], notes: Notes) -> None:
    """0/1 columns beside those that are asked for, which the test set lacks, could be trained as well."""
    if len(targets) < 2 or not all(is_flags(sheets.train[column]) for column in targets):
        return
    known = {*targets, *taken, *(() if sheets.test is None else sheets.test.columns)}
    flags = [column for column in sheets.train if column not in known and is_flags(sheets.train[column])]
    if flags:
        question = (
            "labels that the sample does not ask for: are they to be learned, too, without being scored? Then take the line below"
        )
        why = f"0 and 1 as the targets, in {sheets.names['train']} alone"
        notes.add("dataset.auxiliary", None, why, question, f"auxiliary: {to_yaml(flags)}")


# ---- the kind ------------------------------------------------------------------------------------------------------------


def conclude_kind(train: pd.DataFrame, sample: pd.DataFrame | None, targets: Sequence[str], notes: Notes) -> str:
    """`task.kind`, and `dataset.separator` where cells hold sets."""
    if len(targets) > 1:
        flags = all(is_flags(train[column]) for column in targets)
        exclusive = flags and (train[list(targets)].astype(float).sum(axis=1) == 1).all()
        if (
            exclusive
            and notes.settled.get("dataset.one_hot", True)
            and notes.settled.get("task.kind", "multiclass") == "multiclass"
        ):
            question = "are these classes of one target? If labels of their own, remove this line"
            notes.add("dataset.one_hot", ONE_HOT, f"every row has exactly one 1 in its {len(targets)} target columns", question)
            return notes.add("task.kind", "multiclass", f"{len(targets)} columns of which one is 1")
        why = f"{len(targets)} target columns of {'0 and 1' if flags else 'their own'}"
        return notes.add("task.kind", "multilabel" if flags else "multitarget", why)
    name, values = targets[0], train[targets[0]]
    separator, question = find_separator(values)
    if separator is None and sample is not None and len(sample.columns) == 2:
        separator, question = find_shown_separator(values, sample.iloc[:, 1])
    separator = notes.settled.get("dataset.separator", separator)
    if separator:
        example = values[values.str.contains(separator, regex=False)]
        such = f", such as {example.iloc[0]!r}" if len(example) else ""
        notes.add("dataset.separator", separator, f"{name!r} holds sets{such}", question)
        return notes.add("task.kind", "multilabel", "sets of labels")
    return notes.add("task.kind", *choose_kind(values, sample))


def choose_kind(values: pd.Series, sample: pd.DataFrame | None) -> tuple[str, str, str]:
    """The kind of a column's target, why, and a question where it is unsure."""
    name, distinct = str(values.name), pd.Series(values[values != ""].unique())
    if not distinct.str.fullmatch(NUMBER).all() or len(distinct) <= 2:
        return "binary" if len(distinct) == 2 else "multiclass", f"{len(distinct)} different values in {name!r}", ""
    numbers = pd.to_numeric(distinct)
    if (numbers % 1 != 0).any():
        return "regression", f"{name!r} holds numbers with fractions", ""
    answers = pd.Series(dtype=str) if sample is None or len(sample.columns) < 2 else sample.iloc[:, 1]
    cells = pd.to_numeric(answers, errors="coerce")
    why = f"{len(distinct)} whole numbers in {name!r}"
    if (cells % 1 > 0).any():
        return "regression", f"{why}, the sample has fractions", "numbers, or classes?"
    if ORDERED.search(name) and len(distinct) <= MOST_GRADES and sorted(numbers) == list(range(len(distinct))):
        return "ordinal", f"{why}, from 0 on", "do the classes have an order, or not (`multiclass`)?"
    if RATED.search(name) and len(distinct) > MOST_GRADES:
        return "regression", why, "a number, or classes (`multiclass`; with an order `ordinal`)?"
    if ORDERED.search(name) or RATED.search(name):
        return "multiclass", why, "do the classes have an order (`ordinal`, or `regression`)?"
    lists = answers.str.contains(" ").any() or (set(answers) <= set(values) and answers.nunique() == 1 and len(answers) > 1)
    many = len(distinct) > 50 and len(distinct) > 0.02 * len(values) and numbers.max() - numbers.min() < 2 * len(distinct)
    return "multiclass", why, "classes, or a number (`regression`)?" if many and not lists else ""


def find_shown_separator(values: pd.Series, answers: pd.Series) -> tuple[str | None, str]:
    """What joins labels in the sample's answers, where these are put together of what the training cells are, and are none."""
    known = set(values.unique())
    for separator in SEPARATORS:
        cells = [cell for cell in answers.unique() if separator in cell and cell not in known]
        labels = {label for cell in known for label in cell.split(separator)}
        shown = {label for cell in cells for label in cell.split(separator)}
        if cells and shown <= labels and not shown <= known:
            return separator, f"are these sets of {len(labels - {''})} labels, as in the sample, or names of single classes?"
    return None, ""


def find_separator(values: pd.Series) -> tuple[str | None, str]:
    """What joins labels in cells that hold sets, if they do: there are fewer labels than different cells, and they recur."""
    cells = set(values.unique()) - {""}
    for separator in SEPARATORS:
        sets = [cell for cell in cells if separator in cell]
        labels = {label.strip() for cell in cells for label in cell.split(separator)} - {""}
        if sets and len(labels) < len(cells):
            alone = sum(label in cells for label in labels)
            sure = alone >= len(labels) / 2 or all(re.fullmatch(NUMBER, label) for label in labels)
            return separator, "" if sure else f"are these sets of {len(labels)} labels, or names of single classes?"
        # Few rows may hold fewer different sets than labels; numbers joined by spaces are hardly one name.
        if sets and all(re.fullmatch(NUMBER, label) for label in labels) and separator != ",":
            return separator, "" if len(sets) > len(cells) / 10 else "are these sets of labels?"
    return None, ""
