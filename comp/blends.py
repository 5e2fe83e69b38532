"""Blends: several experiments' predictions made one, joined by id.

What the rule is, is a plugin's business (kind `blend`). This module aligns the members, refuses what cannot be compared,
cross-fits the rule for the score, fits it on everything for the test, and finds out what each member is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from comp.api import Blend, Score, Task
from comp.crossfit import choose_sample, split_rows
from comp.errors import CompError, PluginError, PredictionsError
from comp.ids import demand_same_ids, locate_ids
from comp.predictions import Predictions

DROP_ROWS = 10_000
"""What a member is worth is found out on so many rows, where there are more: the rule is fitted anew without each."""


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
        tasks: member -> what it predicts.
        ids, fold: (N,) of the first member.
        oof: member -> (N, outputs of the member).
        test_ids, test: the same of the test set; None where no member has one.
        warnings: what should be known about the comparison.
    """

    tasks: dict[str, Task]
    ids: np.ndarray
    fold: np.ndarray
    oof: dict[str, np.ndarray]
    test_ids: np.ndarray | None
    test: dict[str, np.ndarray] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Blended:
    """What a rule made of its members.

    Attributes:
        oof: each fold's rows by a rule that was fitted on the others.
        test: by a rule that was fitted on all; None without test predictions.
        weights: of that rule, member -> share; None for rules that have none.
        unused: members that no rule gave any weight, those of the folds included.
    """

    oof: Predictions
    test: Predictions | None
    weights: dict[str, float] | None
    unused: frozenset[str]


def align_members(members: Sequence[Member]) -> Aligned:
    """Bring all members into the order of the first one's ids. That they predict the same targets is asked elsewhere.

    Raises:
        PredictionsError: members of other ids, shown; or some have test predictions and others none.
    """
    first, *others = members
    if len({member.name for member in members}) < len(members):
        raise PredictionsError(f"a blend's members must differ; given are {', '.join(member.name for member in members)}")
    for member in others:
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
    tasks = {member.name: member.oof.task for member in members}
    return Aligned(tasks, first.oof.ids, first.oof.fold, oof, test_ids, test, tuple(warnings))


def answer_rows(
    aligned: Aligned, unit_ids: Sequence[str] | np.ndarray, targets: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Target -> the answers of the members' rows.

    Args:
        unit_ids: (U,) the units of the training table, in the order of `targets` (target -> (U, ...) answers).

    Raises:
        PredictionsError: an id is not in the training table.
    """
    place = locate_ids(aligned.ids, unit_ids, "the members' OOF", "the training table")
    return {name: np.asarray(values)[place] for name, values in targets.items()}


def blend_members(build: Callable[[], Blend], aligned: Aligned, task: Task, answers: Mapping[str, np.ndarray]) -> Blended:
    """OOF and test predictions of the blend: each fold by a rule fitted on the other folds, the test by one fitted on all.

    Args:
        build: makes a fresh rule.
        task: what the blend predicts.
        answers: target -> (N, ...) of the members' rows.

    Raises:
        PluginError: the rule returned another shape, or no finite numbers.
    """
    oof, rules = cross_blend(build, aligned, task, answers)
    rule = build()
    rule.fit(aligned.oof, answers)
    weights = [_weights_of(made) for made in (*rules, rule)]
    unused = frozenset(name for name in aligned.oof if all(shares is not None and not shares.get(name) for shares in weights))
    test = None
    if aligned.test is not None and aligned.test_ids is not None:
        test = Predictions(task, aligned.test_ids, _predict(rule, aligned.test, len(aligned.test_ids), task))
    return Blended(oof, test, weights[-1], unused)


def cross_blend(
    build: Callable[[], Blend], aligned: Aligned, task: Task, answers: Mapping[str, np.ndarray]
) -> tuple[Predictions, list[Blend]]:
    """Each fold's rows by a rule that was fitted on the others; and these rules."""
    blended = np.empty((len(aligned.ids), task.outputs), dtype=np.float64)
    rules = []
    for fitted, held_out in split_rows(aligned.ids, aligned.fold):
        rule = build()
        rule.fit(_take(aligned.oof, fitted), _take(answers, fitted))
        blended[held_out] = _predict(rule, _take(aligned.oof, held_out), int(held_out.sum()), task)
        rules.append(rule)
    return Predictions(task, aligned.ids, blended, aligned.fold), rules


def _weights_of(rule: Blend) -> dict[str, float] | None:
    found = getattr(rule, "weights", None)
    return {name: float(weight) for name, weight in found.items()} if isinstance(found, Mapping) else None


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


# ---- what a member is worth ----------------------------------------------------------------------------------------------


def drop_members(
    build: Callable[[], Blend], aligned: Aligned, answers: Mapping[str, np.ndarray], score: Score, unused: frozenset[str]
) -> dict[str, float | None]:
    """Member -> what the blend's cross-fitted score (greater is better) loses where the rule is fitted without it.

    Empty for members of different targets, and for fewer than two; None where the rule or the metric has no answer. At most
    DROP_ROWS rows are looked at. A member that has no weight anyway costs nothing: 0.
    """
    if len(aligned.oof) < 2 or len(set(aligned.tasks.values())) > 1:
        return {}
    task = next(iter(aligned.tasks.values()))
    rows = choose_sample(aligned.ids, DROP_ROWS)
    sample = replace(aligned, ids=aligned.ids[rows], fold=aligned.fold[rows], oof=_take(aligned.oof, rows))
    answers = _take(answers, rows)

    def measure(members: dict[str, np.ndarray]) -> float | None:
        try:
            found = score(answers, cross_blend(build, replace(sample, oof=members), task, answers)[0].values)
        except CompError:
            return None
        return found if np.isfinite(found) else None

    whole = measure(sample.oof)
    losses: dict[str, float | None] = {}
    for name in sample.oof:
        left = 0.0 if name in unused else measure({other: part for other, part in sample.oof.items() if other != name})
        losses[name] = 0.0 if name in unused else None if whole is None or left is None else whole - left
    return losses


def correlate_members(aligned: Aligned) -> dict[str, dict[str, float]]:
    """Member -> member -> Pearson's correlation of their OOF, the mean over outputs that vary. Empty for different targets."""
    if len(set(aligned.tasks.values())) > 1:
        return {}
    names = list(aligned.oof)
    found = []
    for column in range(next(iter(aligned.tasks.values())).outputs):
        cells = np.stack([values[:, column] for values in aligned.oof.values()])
        cells = cells - cells.mean(axis=1, keepdims=True)
        length = np.linalg.norm(cells, axis=1, keepdims=True)
        if (length > 0).all():
            cells /= length
            found.append(np.clip(cells @ cells.T, -1, 1))
    if not found:
        return {}
    mean = np.mean(found, axis=0)
    return {name: dict(zip(names, row.tolist(), strict=True)) for name, row in zip(names, mean, strict=True)}
