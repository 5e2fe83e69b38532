"""Lessons: the rows that a stage learns from, where its objective wants more than the fold's own training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from comp.api import Objective, PluginError, Task
from comp.engine.joined import join_rows
from comp.engine.rows import Rows
from comp.events import Emit, Notice

Teach = Callable[[Sequence[str], str], Mapping[str, np.ndarray]]
"""Teachers and "train" or "test" -> {target: (N, width) float32} for the fold's rows of that kind, by models that never saw
the labels which the fold holds out."""


def gather_rows(
    objective: Objective, train: Rows, others: Mapping[str, Rows | None], task: Task, teach: Teach, fold: str, emit: Emit
) -> Rows:
    """The training rows, and what the objective wants besides: images without labels, and teachers' answers.

    Args:
        others: `held_out` and `test`.

    Raises:
        PluginError: it wants rows that there are none of.
    """
    wanted, teachers = tuple(getattr(objective, "rows", ())), tuple(getattr(objective, "teachers", ()))
    if not wanted and not teachers:
        return train
    taught = None
    if teachers:
        taught = teach(teachers, "train") if getattr(objective, "teaches_labelled", True) else know_nothing(task, len(train))
    parts = [replace(train, columns=None, labelled=np.ones(len(train), bool), teacher=taught)]
    for kind in wanted:
        rows = others.get(kind)
        if rows is None or not len(rows):
            if kind == "held_out" and fold == "full":
                continue  # training on everything holds nothing out
            lacking = f"the {kind.replace('_', '-')} images, which its `rows` name, are not there"
            if teachers:
                raise PluginError(f"objective: {lacking}")
            emit(Notice(f"fold {fold}: {lacking}; the objective goes without", "warning"))
            continue
        part = replace(rows, columns=None, labelled=np.zeros(len(rows), bool), targets=blank_targets(task, len(rows)))
        if teachers:
            part = choose_taught(objective, part, teach(teachers, kind), task, kind, fold, emit)
        weights = np.full(len(part), getattr(objective, "share", 1.0), np.float32)
        parts.append(replace(part, weights=weights))
    return join_rows(parts)


def choose_taught(
    objective: Objective, rows: Rows, taught: Mapping[str, np.ndarray], task: Task, kind: str, fold: str, emit: Emit
) -> Rows:
    """The rows whose teachers are sure enough, with what they say as target."""
    choose = getattr(objective, "choose", None)
    kept = np.ones(len(rows), bool) if choose is None else np.asarray(choose(taught))
    emit(Notice(f"fold {fold}: {int(kept.sum())} of {len(rows)} {kind.replace('_', '-')} rows are learned from their teachers"))
    rows = replace(rows, teacher=taught, targets={name: decide(task.only(name), values) for name, values in taught.items()})
    return rows.take(np.flatnonzero(kept))


def decide(task: Task, values: np.ndarray) -> np.ndarray:
    """A target's teachers as labels: the likeliest class, labels from one half on, or the value."""
    target = task.target
    if not target.classes:
        return values[:, 0].astype(np.float32)
    return (values >= 0.5).astype(np.float32) if target.kind == "multilabel" else values.argmax(axis=1).astype(np.int64)


def blank_targets(task: Task, rows: int) -> dict[str, np.ndarray]:
    """Something of the right shape, for rows whose labels nothing looks at."""
    blank: dict[str, Any] = {}
    for target in task.targets:
        shape = (rows, target.width) if target.kind == "multilabel" else (rows,)
        blank[target.name] = np.zeros(shape, np.float32 if not target.classes or target.kind == "multilabel" else np.int64)
    return blank


def pretend_lessons(objective: Objective, rows: Rows, task: Task) -> Rows:
    """Rows for a try-out: nobody is asked, teachers know nothing (every class is as likely)."""
    if not getattr(objective, "teachers", ()):
        return rows
    return replace(rows, columns=None, labelled=np.ones(len(rows), bool), teacher=know_nothing(task, len(rows)))


def know_nothing(task: Task, rows: int) -> dict[str, np.ndarray]:
    return {target.name: np.full((rows, target.width), 1 / target.width, np.float32) for target in task.targets}
