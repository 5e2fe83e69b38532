"""Propose: the split, further columns and the flip. These are proposals: only the competition's page knows them.

What the tables are is concluded in naming and aims; submission and metric are chosen in forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from comp.aims import GROUPS, PROPERTIES
from comp.api import Task
from comp.competition import NUMBER
from comp.inline import to_yaml
from comp.notes import Notes
from comp.sheets import name_columns
from comp.tables import name_few

TELLING = frozenset("left right laterality character characters letter letters digit digits text glyph kanji hangul".split())


def propose_split(task: Task, train: pd.DataFrame, test: pd.DataFrame | None, notes: Notes) -> None:
    """A split by kind. A group is taken where the test set brings new ones; else offered: only the user knows."""
    use = notes.add("split.use", "multilabel" if task.kind == "multilabel" else "stratified", f"the task is {task.kind}")
    units = train["id"].nunique()
    folds = notes.add("split.folds", max(2, min(5, units)), "the usual number" if units >= 5 else f"there are {units} units")
    notes.add("split.seed", 42, "the split's own")
    answers = {column for target in task.targets for column in target.columns}
    columns = [column for column in train.columns if column not in ("row_id", "id", "image") and column not in answers]
    groups = [column for column in columns if GROUPS.search(column) and folds <= train[column].nunique() < len(train)]
    if use in ("stratified", "multilabel"):
        propose_group(train, test, groups, notes)
    counts = (
        pd.Series(dtype=int) if task.kind != "multiclass" else train.drop_duplicates("id")[task.target.columns[0]].value_counts()
    )
    rare = int((counts < folds).sum())
    if rare and counts.max() >= 2 * folds and use == "stratified":
        question = "are these to be scored? If not, as few pictures say little, take the line below: they are only trained on"
        notes.add(
            "split.rare", None, f"{rare} of {len(counts)} classes have fewer units than folds", question, "rare: train_only"
        )


def propose_group(train: pd.DataFrame, test: pd.DataFrame | None, groups: Sequence[str], notes: Notes) -> None:
    """`split.group`."""
    shared = [column for column in groups if test is not None and column in test]
    new = [column for column in shared if not set(train[column]) & set(test[column])]  # type: ignore[index]
    if new:
        column = min(new, key=lambda column: train[column].nunique())
        why = f"the {test[column].nunique()} different {column!r} of the test table are all new"  # type: ignore[index]
        notes.add("split.group", column, f"{why}: folds keep each of the {train[column].nunique()} together")
    elif groups:
        column = (shared or groups)[0]
        where = "the test table has it too, with some of the same" if shared else "only the training table has it"
        others = [name for name in groups if name != column]
        more = f" (or {', '.join(others)})" if others else ""
        question = f"will the test set bring a new {column!r}{more}? Then keep each in one fold: take the line below"
        why = f"{train[column].nunique()} different {column!r} in {len(train)} rows, {where}"
        notes.add("split.group", None, why, question, f"group: {to_yaml(column)}")


def propose_columns(task: Task, train: pd.DataFrame, test: pd.DataFrame | None, notes: Notes) -> None:
    """What both tables say of an image beside its answer is offered, not taken: only some models join it to the image."""
    answers = {column for target in task.targets for column in target.columns}
    used = {notes.get(f"dataset.{key}") for key in ("row", "image", "weight", "series", "order")}
    used |= {part for column in (notes.get("dataset.id"),) if column for part in name_columns(str(column), train)}
    own = [column for column in train if column not in {"row_id", "id", "image", *answers, *PROPERTIES} | used]
    both = [] if test is None else [column for column in own if column in test and not GROUPS.search(column)]
    both = [column for column in both if train[column].nunique() < len(train) or train[column].str.fullmatch(NUMBER).all()]
    if both and "dataset.columns" not in notes.settled:
        names = shorten_names(both)
        question = (
            "do these tell of the answer? A model that joins columns to the image (`model: {use: fusion}`) takes the line below"
        )
        notes.add(
            "dataset.columns",
            None,
            f"{len(both)} columns of both tables: {name_few(both)}",
            question,
            f"columns: {to_yaml(names)}",
        )


def shorten_names(names: Sequence[str]) -> list[str]:
    """`margin1`, `margin2`, … as `margin*`, where four or more begin so."""
    stems = [re.sub(r"\d+$", "", name) for name in names]
    return list(dict.fromkeys(f"{stem}*" if stems.count(stem) >= 4 else name for name, stem in zip(names, stems, strict=True)))


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
