"""Blends: several experiments' predictions made one, joined by id.

What the rule is, is a plugin's business (kind `blend`). This module aligns the members, refuses what cannot be compared,
cross-fits the rule for the score and fits it on everything for the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from comp.api import Blend, Task
from comp.errors import PluginError, PredictionsError
from comp.ids import demand_same_ids, locate_ids
from comp.predictions import Predictions, demand_same_task


@dataclass(frozen=True)
class Member:
    """A run that goes into a blend. `test`: None where it has no test predictions."""

    name: str
    oof: Predictions
    test: Predictions | None


@dataclass(frozen=True)
class Aligned:
    """The members' predictions in one order.

    Attributes:
        ids, fold: (N,) of the first member.
        oof: member -> (N, outputs).
        test_ids, test: the same of the test set; None where no member has one.
        warnings: what should be known about the comparison.
    """

    task: Task
    ids: np.ndarray
    fold: np.ndarray
    oof: dict[str, np.ndarray]
    test_ids: np.ndarray | None
    test: dict[str, np.ndarray] | None
    warnings: tuple[str, ...]


def align_members(members: Sequence[Member]) -> Aligned:
    """Bring all members into the order of the first one's ids.

    Raises:
        PredictionsError: members of other targets or other ids, shown; or some have test predictions and others none.
    """
    first, *others = members
    if len({member.name for member in members}) < len(members):
        raise PredictionsError(f"a blend's members must differ; given are {', '.join(member.name for member in members)}")
    for member in others:
        demand_same_task(member.oof.task, first.oof.task, f"{member.name} (against {first.name})")
        demand_same_ids(first.oof.ids, member.oof.ids, f"{first.name}'s OOF predictions", f"{member.name}'s")
    without = [member.name for member in members if member.test is None]
    if without and len(without) < len(members):
        raise PredictionsError(
            f"{', '.join(without)} have no test predictions, the other members have: `comp run` or `comp predict` makes them"
        )
    oof, test = {first.name: first.oof.values}, None if first.test is None else {first.name: first.test.values}
    warnings = []
    for member in others:
        place = locate_ids(first.oof.ids, member.oof.ids, first.name, member.name)
        oof[member.name] = member.oof.values[place]
        moved = int((member.oof.fold[place] != first.oof.fold).sum())
        if moved:
            warnings.append(
                f"{member.name} held out {moved} of {len(place)} ids in other folds than {first.name}: a rule that is fitted "
                "then learns from predictions of models that trained on the rows it is scored on, so its CV is somewhat too good"
            )
        if test is not None:
            demand_same_ids(first.test.ids, member.test.ids, f"{first.name}'s test predictions", f"{member.name}'s")
            test[member.name] = member.test.values[locate_ids(first.test.ids, member.test.ids, first.name, member.name)]
    test_ids = None if first.test is None else first.test.ids
    return Aligned(first.oof.task, first.oof.ids, first.oof.fold, oof, test_ids, test, tuple(warnings))


def blend_members(
    build: Callable[[], Blend], aligned: Aligned, unit_ids: Sequence[str] | np.ndarray, targets: Mapping[str, np.ndarray]
) -> tuple[Predictions, Predictions | None]:
    """OOF and test predictions of the blend: each fold by a rule fitted on the other folds, the test by one fitted on all.

    Args:
        build: makes a fresh rule.
        unit_ids: (U,) the units of the training table, in the order of `targets` (target -> (U, ...) answers).

    Raises:
        PredictionsError: an id is not in the training table.
        PluginError: the rule returned another shape, or no finite numbers.
    """
    place = locate_ids(aligned.ids, unit_ids, "the members' OOF", "the training table")
    answers = {name: np.asarray(values)[place] for name, values in targets.items()}
    blended = np.empty((len(aligned.ids), aligned.task.outputs), dtype=np.float64)
    folds = np.unique(aligned.fold)
    for fold in folds:
        held_out = aligned.fold == fold
        # A single fold leaves nothing else to fit on.
        fitted = ~held_out if len(folds) > 1 else held_out
        rule = build()
        rule.fit(_take(aligned.oof, fitted), _take(answers, fitted))
        blended[held_out] = _predict(rule, _take(aligned.oof, held_out), int(held_out.sum()), aligned.task)
    oof = Predictions(aligned.task, aligned.ids, blended, aligned.fold)
    if aligned.test is None or aligned.test_ids is None:
        return oof, None
    rule = build()
    rule.fit(aligned.oof, answers)
    return oof, Predictions(aligned.task, aligned.test_ids, _predict(rule, aligned.test, len(aligned.test_ids), aligned.task))


def _take(tables: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in tables.items()}


def _predict(rule: Blend, members: Mapping[str, np.ndarray], count: int, task: Task) -> np.ndarray:
    values = np.asarray(rule.predict(members), dtype=np.float64)
    if values.shape != (count, task.outputs) or not np.isfinite(values).all():
        raise PluginError(
            f"the blend returned {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them not finite; "
            f"wanted ({count}, {task.outputs}) finite numbers"
        )
    return values
