"""Tables: whether what a dataset plugin returned holds together. Each check returns what is wrong, a line a fault.

What the targets mean is competition's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from comp.api import STACK, Tables, Target, Task
from comp.errors import DataError
from comp.images import find_missing

PROBABILITY_FORMS = ("probabilities", "probability")
"""Submission plugins that write numbers into cells."""

LONG_FORMS = ("long",)
"""Submission plugins whose columns are no answers of one target each."""

WHOLE = re.compile(r"\d+")


def check_tables(tables: Tables) -> list[str]:
    """What a dataset plugin must have returned: the kit's columns as text, row ids that are unique, targets that are there."""
    faults = []
    for name, table in (("training", tables.train), ("test", tables.test)):
        if table is None:
            continue
        training = name == "training"
        own = dict.fromkeys([*tables.columns, *((*tables.targets, *tables.auxiliary) if training else ())])
        wanted = ["row_id", "id", "image", *own]
        absent = [column for column in wanted if column not in table]
        if absent:
            faults.append(
                f"the {name} table has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, table.columns))}"
            )
            continue
        for column in wanted:
            kind = table[column].dtype
            if isinstance(kind, pd.StringDtype) and kind.storage == "pyarrow" and not table[column].hasnans:
                continue  # text in UTF-8, by its type
            if not all(type(value) is str for value in table[column].tolist()):
                faults.append(
                    f"column {column!r} of the {name} table is not all text; a dataset returns ids and targets as written"
                )
            elif (strange := find_unwritable(table[column].tolist())) is not None:
                faults.append(f"column {column!r} of the {name} table has {ascii(strange)}, which is not UTF-8; rename it")
        row_id = table["row_id"]
        if row_id.duplicated().any():
            repeated = row_id[row_id.duplicated()].unique()
            faults.append(f"{len(repeated)} row ids stand twice in the {name} table: {name_few(repeated)}")
        if (table["id"] == "").any():
            faults.append(f"the id of {int((table['id'] == '').sum())} rows of the {name} table is empty")
        stacked = {str(image).count(STACK) + 1 for image in table["image"].tolist()} - {tables.views}
        if stacked:
            faults.append(f"the {name} table has rows of {max(stacked)} images; its dataset promises {tables.views} a row")
    faults += check_weight(tables)
    if not len(tables.train):
        faults.append("the training table has no rows")
    return faults


def find_unwritable(texts: Sequence[str]) -> str | None:
    """The first that cannot be written: a file's name of bytes that are no UTF-8."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return next(text for text in texts if any("\ud800" <= letter <= "\udfff" for letter in text))
    return None


def check_weight(tables: Tables) -> list[str]:
    """The weights of training rows are numbers from 0 on, and not all of them 0."""
    column = tables.weight
    if column is None:
        return []
    if column not in tables.train:
        return [f"the training table has no column {column!r}, which is to be the rows' weight"]
    numbers = pd.to_numeric(tables.train[column], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        row = tables.train[wrong].iloc[0]
        given = f"{row['row_id']}: the weight {column} is {row[column]!r}"
        return [f"{given}; wanted a number from 0 on ({int(wrong.sum())} such rows)"]
    return [] if numbers.any() or not len(numbers) else [f"the weight {column} is 0 in every training row"]


def check_sample(task: Task, tables: Tables, form: Mapping[str, Any]) -> list[str]:
    """No label that only the sample submission knows, in its cells or as the header of a probability.

    Where classes are numbers with gaps between them, another number is no misspelling: describe_fillers tells of it.

    Args:
        form: the manifest's `submission`, which says whether the cells of the sample are classes as training writes them.
    """
    sample = tables.sample
    if sample is None or form.get("use") in LONG_FORMS or form.get("write", "class") != "class":
        return []
    answers = [column for column in sample.columns if column != tables.id_column]
    if len(answers) > 1 and len(task.targets) == 1 and not {target.name for target in task.targets} & set(answers):
        strange = find_strange_headers(answers, task.target.classes)
        return (
            [f"{len(strange)} columns of the sample are no class of the training table: {name_few(strange)}"] if strange else []
        )
    return [
        f"{text}; if they are only fillers, correct them in a copy of the sample"
        for text, is_gap in list_strange_cells(task, tables, form)
        if not is_gap
    ]


def describe_fillers(task: Task, tables: Tables, form: Mapping[str, Any]) -> list[str]:
    """What no training row has in the sample, where classes are numbers with gaps, or each of its rows is the same.

    Args:
        form: as check_sample.
    """
    if tables.sample is None or form.get("use") in LONG_FORMS or form.get("write", "class") != "class":
        return []
    return [f"{text}; they will never be answered" for text, is_gap in list_strange_cells(task, tables, form) if is_gap]


def list_strange_cells(task: Task, tables: Tables, form: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """What the sample's cells hold that is no class, target by target; and whether that is no fault.

    It is none where these and the classes are numbers with gaps, or where every row of the sample holds the same word.
    """
    sample = tables.sample
    assert sample is not None
    answers = [column for column in sample.columns if column != tables.id_column]
    for target in task.targets:
        column = target.name if target.name in answers else answers[0] if len(answers) == len(task.targets) == 1 else None
        if (
            column is None
            or form.get("use") in PROBABILITY_FORMS
            or not target.classes
            or (target.kind == "multilabel" and target.separator is None)
        ):
            continue
        known = set(target.classes)
        parts = {cell: split_answer(cell, target) for cell in sample[column].unique()}
        strange = list(dict.fromkeys(part for cell in parts.values() for part in cell if part not in known))
        if strange:
            cells = [cell for cell, labels in parts.items() if not known.issuperset(labels)]
            first = sample[tables.id_column][sample[column].isin(cells)].iloc[0]
            text = f"the sample knows {len(strange)} values of {column!r} that no training row has: {name_few(strange)}"
            numbers = all(map(WHOLE.fullmatch, known.union(strange)))
            gappy = numbers and max(map(int, known)) - min(map(int, known)) >= len(known)
            # What stands in every row says nothing of the answers, unless it is a class in other letters, or a class's number.
            alike = {name.strip().lower() for name in known} & {name.strip().lower() for name in strange}
            same_sort = all(map(WHOLE.fullmatch, known)) == all(map(WHOLE.fullmatch, strange))
            filler = len(sample) > 1 and len(parts) == 1 and same_sort and not alike
            yield f"{text} ({tables.id_column} {first})", gappy or filler


def find_strange_headers(columns: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The columns that are not named as a class, with or without one prefix for all (`label_cat`, `label_dog`)."""
    first, known = columns[0], set(classes)
    prefixes = ["", *(first.removesuffix(name) for name in classes if first.endswith(name))]
    found = ([column for column in columns if column.removeprefix(prefix) not in known] for prefix in prefixes)
    return min(found, key=len)


def split_answer(cell: str, target: Target) -> list[str]:
    """The labels in a cell of the sample, which may list several, best first."""
    return [cell] if cell in target.classes else [part for part in cell.split(target.separator) if part]


def check_images(tables: Tables) -> list[str]:
    """Every file that the tables' images are read from is there."""
    faults = []
    for name, table in (("training", tables.train), ("test", tables.test)):
        missing = [] if table is None else find_missing(table["image"].tolist(), tables.root, tables.read)
        if missing:
            faults.append(
                f"{len(missing)} images of the {name} table are not there: {name_few(missing)} "
                "(`on_bad_image: skip` leaves them out)"
            )
    return faults


def name_few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(repr(str(name)) for name in names[:most]) + (", ..." if len(names) > most else "")


def raise_faults(faults: Sequence[str]) -> None:
    """Raises: DataError: there are any; it holds all of them."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError("\n".join([*faults, f"{count} in the tables."]))
