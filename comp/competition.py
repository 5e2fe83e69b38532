"""Competition: the tables and the task, opened and checked once, before anything else looks at them.

Where tables come from is a plugin's business (kind `dataset`); what their targets mean, whether they hold together, and the
numbers that training sees are decided here. Folds have a module of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pandas as pd

from comp.aggregate import check_aggregate
from comp.api import Tables, Target, TargetKind, Task
from comp.errors import DataError
from comp.groups import join_groups
from comp.manifest import Manifest
from comp.project import Project, hash_file
from comp.tables import check_images, check_sample, check_tables, name_few, raise_faults

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
FEW = 0.05
KINDS = (*get_args(TargetKind), "multitarget")


@dataclass(frozen=True)
class Competition:
    """What all experiments hold fixed, as this workspace's files say it.

    Attributes:
        root: the workspace.
        trained: what models learn: the task, then its auxiliary targets.
        name: what it is called: its folder.
        missing: faults of images that are not there, where they were not demanded.
    """

    root: Path
    tables: Tables
    trained: Task
    name: str
    missing: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What is predicted, scored and submitted."""
        return self.trained.scored


def open_competition(project: Project, manifest: Manifest, demand_images: bool = True) -> Competition:
    """Build the tables, work out the task, and check that they hold together.

    Args:
        demand_images: whether an image that is not there is a fault; what was predicted already needs none.

    Raises:
        DataError: all faults at once, each with the rows it concerns.
    """
    tables = manifest.catalog.build("dataset", manifest.values["dataset"], root=project.root, facts=None)
    raise_faults(check_tables(tables))
    tables = join_groups(project.root, tables)
    stated = manifest.values.get("task") or {}
    task = work_out_task(tables, stated.get("kind"), stated.get("targets"))
    faults = [
        *check_targets(task, tables.train),
        *check_sample(task.scored, tables, manifest.values.get("submission") or {}),
        *check_aggregate(task.scored, manifest.values.get("aggregate") or "mean"),
    ]
    missing = check_images(tables) if manifest.values.get("on_bad_image") != "skip" else []
    raise_faults([*faults, *missing] if faults or demand_images else [])
    return Competition(project.root, tables, task, project.root.name, tuple(missing))


# ---- the task ------------------------------------------------------------------------------------------------------------


def work_out_task(tables: Tables, kind: str | None = None, kinds: Mapping[str, str] | None = None) -> Task:
    """What is trained, from the target columns: first what is scored, then the auxiliary targets.

    Args:
        kind: what competition.yaml says it is; None: worked out (never ordinal or ranking, which columns do not show).
        kinds: the same for single columns of several.

    Raises:
        DataError: the columns cannot be of that kind, or hold a single class.
    """
    scored = work_out_scored(tables, kind, kinds)
    if set(tables.auxiliary) & {column for target in scored.targets for column in (target.name, *target.columns)}:
        raise DataError(f"dataset.auxiliary names {name_few(tables.auxiliary)}, of which one is a target already")
    # An auxiliary target that is a set would need a separator of its own: one column is one class, or a number.
    further = (describe_target(tables.train[column], column, (kinds or {}).get(column), None) for column in tables.auxiliary)
    return Task((*scored.targets, *(replace(target, scored=False) for target in further)))


def work_out_scored(tables: Tables, kind: str | None, kinds: Mapping[str, str] | None) -> Task:
    """The task without auxiliary targets, as work_out_task."""
    columns, kinds = tables.targets, dict(kinds or {})
    if not columns:
        raise DataError("dataset.target names no column: wanted the one that is to be predicted, or several")
    if tables.separator == "":
        raise DataError("dataset.separator is empty: wanted what joins the labels of a set, or null where a cell is one label")
    for stated in (kind, *kinds.values()):
        if stated is not None and stated not in KINDS:
            raise DataError(f"task.kind is {stated!r}; wanted one of {', '.join(KINDS)}")
    strange = sorted(set(kinds) - set(columns) - set(tables.train.columns))
    if strange:
        raise DataError(f"task.targets names {name_few(strange)}, which is no column; the targets are {', '.join(columns)}")
    kinds = {name: stated for name, stated in kinds.items() if name not in tables.auxiliary}
    if tables.separator is None and kind in (None, "multilabel") and not kinds:
        flags = all(is_flags(tables.train[column]) for column in columns)
        if flags and (len(columns) > 1 or kind == "multilabel"):
            name = "labels" if len(columns) > 1 else columns[0]
            return Task((Target(name, "multilabel", columns, columns),))
        if kind == "multilabel":
            raise DataError(
                f"task.kind is multilabel, but {', '.join(columns)} holds neither 0 and 1 nor sets: "
                "name the columns of all labels in dataset.target, or what joins the labels of a set in dataset.separator"
            )
    each = None if kind == "multitarget" else kind
    return Task(
        tuple(describe_target(tables.train[column], column, kinds.get(column, each), tables.separator) for column in columns)
    )


def describe_target(values: pd.Series, name: str, kind: str | None, separator: str | None) -> Target:
    """The target of one column."""
    if separator is not None:
        return Target(name, "multilabel", order_classes(split_sets(values, separator).dropna().unique()), (name,), separator)
    distinct = values[values != ""].unique()
    if kind is None:
        numbers = pd.Series(distinct).str.fullmatch(NUMBER).all()
        whole = not numbers or (pd.to_numeric(pd.Series(distinct)) % 1 == 0).all()
        kind = "regression" if not whole else "binary" if len(distinct) == 2 else "multiclass"
    if kind == "regression":
        return Target(name, "regression", (), (name,))
    is_mistaken = kind == "binary" and len(distinct) > 2 and looks_mistyped(values[values != ""])
    if len(distinct) < 2 or is_mistaken:
        wanted = "2" if kind == "binary" else "2 or more"
        counts = values[values != ""].value_counts()
        rarest = f" ({counts.index[-1]!r} in {counts.iloc[-1]} of {len(values)} rows); mend them, or remove task.kind"
        raise DataError(
            f"target {name!r} is {kind}, which takes {wanted} classes; "
            f"the training table has {len(distinct)}: {name_few(distinct)}" + (rarest if is_mistaken else "")
        )
    # init's `binary` may be of another target, which was corrected since: where all labels are frequent, they are counted.
    kind = "multiclass" if kind == "binary" and len(distinct) > 2 else kind
    return Target(name, cast(TargetKind, kind), order_classes(distinct), (name,))


def looks_mistyped(labels: pd.Series) -> bool:
    """Whether more than two labels may be two: some are alike but for case, blanks or how a number is written, or all beyond
    the two most frequent stand in few rows (one, or 5% of all)."""
    numbers = pd.to_numeric(labels.where(labels.str.fullmatch(NUMBER)), errors="coerce")
    spelt = numbers.astype(object).where(numbers.notna(), labels.str.strip().str.casefold())
    return spelt.nunique() < labels.nunique() or labels.value_counts().iloc[2:].sum() <= max(1, FEW * len(labels))


def order_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers, if all are numbers; else by code point. The texts stay as written."""
    texts = pd.Series(list(names), dtype=object)
    if len(texts) and texts.str.fullmatch(NUMBER).all():
        return tuple(sorted(texts, key=lambda text: (float(text), text)))
    return tuple(sorted(texts))


def is_flags(values: pd.Series) -> bool:
    return set(values.unique()) <= {"0", "1", "0.0", "1.0"} and len(values) > 0


def split_sets(values: pd.Series, separator: str) -> pd.Series:
    """One label a row, under the index of the row it came from; NaN for an empty set."""
    return values.str.split(separator, regex=False).explode().str.strip().replace("", np.nan)


def encode_targets(task: Task, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Target name -> what training and metrics see, row by row of `table`.

    (N,) int64 class positions; multilabel (N, L) float32, 0..1; regression (N,) float32.

    Raises:
        DataError: a label that the task does not know, or something that is no number.
    """
    faults: list[str] = []
    found = {target.name: encode_target(target, table, faults) for target in task.targets}
    raise_faults(faults)
    return found


def encode_target(target: Target, table: pd.DataFrame, faults: list[str]) -> np.ndarray:
    """As encode_targets, for one; what is wrong is added to `faults`."""
    if target.kind == "regression" or (target.kind == "multilabel" and target.separator is None):
        numbers = np.empty((len(table), len(target.columns)), dtype=np.float32)
        for position, column in enumerate(target.columns):
            numbers[:, position] = pd.to_numeric(table[column].where(table[column].str.fullmatch(NUMBER)), errors="coerce")
            say_rows(faults, table, np.isnan(numbers[:, position]), lambda row, c=column: f"{c} is {row[c]!r}, not a number")
        return numbers[:, 0] if target.kind == "regression" else numbers
    classes, column = pd.Index(target.classes, dtype=object), target.columns[0]
    if target.separator is None:
        codes = classes.get_indexer(pd.Index(table[column].to_numpy(dtype=object)))
        say_rows(
            faults,
            table,
            codes < 0,
            lambda row: f"{column} is {row[column]!r}" + ("" if row[column] else " (empty)") + ", no known class",
        )
        return codes.astype(np.int64)
    labels = split_sets(table[column].reset_index(drop=True), target.separator).dropna()
    codes = classes.get_indexer(pd.Index(labels.to_numpy(dtype=object)))
    strange = np.zeros(len(table), dtype=bool)
    strange[labels.index.to_numpy()[codes < 0]] = True
    say_rows(faults, table, strange, lambda row: f"{column} is {row[column]!r}, which holds an unknown label")
    flags = np.zeros((len(table), len(classes)), dtype=np.float32)
    flags[labels.index.to_numpy()[codes >= 0], codes[codes >= 0]] = 1
    return flags


# ---- units and contents --------------------------------------------------------------------------------------------------


def unit_table(tables: Tables) -> pd.DataFrame:
    """The first training row of each unit, in the table's order."""
    return tables.train.drop_duplicates("id").reset_index(drop=True)


def hash_tables(tables: Tables) -> str:
    """SHA-256 over the contents of what training reads, wherever it lies on this machine.

    A dataset without table files (a folder per class) is covered by its list of rows.
    """
    digest = hashlib.sha256()
    for name, content in sorted((path.name, hash_file(path)) for path in tables.files):
        digest.update(f"{name}\0{content}\n".encode())
    if not tables.files:
        columns = ["row_id", "id", "image", *tables.targets, *tables.auxiliary, *([tables.weight] if tables.weight else [])]
        digest.update(tables.train[columns].sort_values("row_id").to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()


def check_targets(task: Task, table: pd.DataFrame) -> list[str]:
    """Every row has an answer that can be read, and all rows of a unit the same one (of auxiliary targets each its own)."""
    faults: list[str] = []
    for target in task.targets:
        encode_target(target, table, faults)
    if table["id"].duplicated().any():
        for column in (column for target in task.scored.targets for column in target.columns):
            answers = table.groupby("id", sort=False)[column].nunique()
            several = answers.index[answers > 1]
            if len(several):
                faults.append(
                    f"{len(several)} ids have rows with different {column!r}: {name_few(several)}; one answer a unit is wanted"
                )
    return faults


def say_rows(faults: list[str], table: pd.DataFrame, wrong: np.ndarray, say: Callable[[pd.Series], str]) -> None:
    """Add a fault for the rows where `wrong`, described by the first of them."""
    if wrong.any():
        row = table[wrong].iloc[0]
        faults.append(f"{row['row_id']}: {say(row)}" + (f" (and {int(wrong.sum()) - 1} more rows)" if wrong.sum() > 1 else ""))
