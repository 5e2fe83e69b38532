"""Blends: several experiments' predictions made one, joined by id.

What the rule is, is a plugin's business (kind `blend`). This module aligns the members, refuses what cannot be compared,
cross-fits the rule for the score, fits it on everything for the test, and finds out what each member is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from comp.api import Blend, Score, Task
from comp.crossfit import choose_sample, split_rows
from comp.errors import CompError, PluginError, PredictionsError
from comp.ids import demand_same_ids, locate_ids
from comp.members import Shelf
from comp.predictions import Predictions

DROP_ROWS = 10_000
"""What a member is worth is found out on so many rows, where there are more: the rule is fitted anew without each."""
CORRELATED_ROWS = 100_000
"""Members are correlated on so many rows, where there are more."""


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
    oof: Mapping[str, np.ndarray]
    test_ids: np.ndarray | None
    test: Mapping[str, np.ndarray] | None
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


def align_members(members: Iterable[Member], open_shelf: Callable[[], Shelf] | None = None) -> Aligned:
    """Bring all members into the order of the first one's ids. That they predict the same targets is asked elsewhere.

    Args:
        members: each is looked at once, and then let go.
        open_shelf: where the predictions are put that are too large to hold; None: they are held.

    Raises:
        PredictionsError: members of other ids, shown; or some have test predictions and others none.
    """
    first: Member | None = None
    tasks: dict[str, Task] = {}
    without, warnings = [], []
    oof, test = ({}, {}) if open_shelf is None else (open_shelf(), open_shelf())  # type: ignore[var-annotated]
    for member in members:
        if member.name in tasks:
            raise PredictionsError(f"a blend's members must differ; {member.name} is given twice")
        first = first or keep_ids(member)
        tasks[member.name] = member.oof.task
        demand_same_ids(first.oof.ids, member.oof.ids, f"{first.name}'s OOF predictions", f"{member.name}'s")
        place = locate_ids(first.oof.ids, member.oof.ids, first.name, member.name)
        put(oof, member.name, member.oof.values, place)
        if moved := int((member.oof.fold[place] != first.oof.fold).sum()):
            warnings.append(
                f"{member.name} held out {moved} of {len(place)} ids in other folds than {first.name}: a rule that is fitted "
                "then learns from predictions of models that trained on the rows it is scored on, so its CV is somewhat too good"
            )
        if member.test is None:
            without.append(member.name)
        elif first.test is not None:
            demand_same_ids(first.test.ids, member.test.ids, f"{first.name}'s test predictions", f"{member.name}'s")
            put(test, member.name, member.test.values, locate_ids(first.test.ids, member.test.ids, first.name, member.name))
    assert first is not None
    if without and len(without) < len(tasks):
        raise PredictionsError(
            f"{', '.join(without)} have no test predictions, the other members have: `comp run` or `comp predict` makes them"
        )
    test_ids = None if first.test is None else first.test.ids
    return Aligned(tasks, first.oof.ids, first.oof.fold, oof, test_ids, None if test_ids is None else test, tuple(warnings))


def keep_ids(member: Member) -> Member:
    """The member without its values, which need not stay."""
    oof, test = (part and replace(part, values=np.empty((0, part.task.outputs))) for part in (member.oof, member.test))
    return replace(member, oof=oof, test=test)


def put(tables: dict[str, np.ndarray] | Shelf, name: str, values: np.ndarray, place: np.ndarray) -> None:
    """Add a member's values in the order that `place` gives."""
    ordered = values if (place == np.arange(len(place))).all() else values[place]
    if isinstance(tables, Shelf):
        tables.put(name, ordered)
    else:
        tables[name] = ordered


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
    build: Callable[[], Blend],
    aligned: Aligned,
    task: Task,
    answers: Mapping[str, np.ndarray],
    ready: Mapping[int, np.ndarray] = MappingProxyType({}),
) -> tuple[Predictions, list[Blend | None]]:
    """Each fold's rows by a rule that was fitted on the others; and these rules.

    Args:
        ready: part -> what its rows are answered already; no rule is fitted for it (None).
    """
    blended = np.empty((len(aligned.ids), task.outputs), dtype=np.float64)
    rules: list[Blend | None] = []
    for part, (fitted, held_out) in enumerate(split_rows(aligned.ids, aligned.fold)):
        if part in ready:
            blended[held_out] = ready[part]
            rules.append(None)
            continue
        rule = build()
        rule.fit(_take(aligned.oof, fitted), _take(answers, fitted))
        blended[held_out] = _predict(rule, _take(aligned.oof, held_out), int(held_out.sum()), task)
        rules.append(rule)
    return Predictions(task, aligned.ids, blended, aligned.fold), rules


def _weights_of(rule: Blend | None) -> dict[str, float] | None:
    found = getattr(rule, "weights", None)
    return {name: float(weight) for name, weight in found.items()} if isinstance(found, Mapping) else None


def _take(tables: Mapping[str, np.ndarray], rows: np.ndarray) -> Mapping[str, np.ndarray]:
    return tables.take(rows) if isinstance(tables, Shelf) else {name: values[rows] for name, values in tables.items()}


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
    DROP_ROWS rows are looked at. A member that has no weight anyway costs nothing: 0; where a part's rule gives it none, that
    part stays as it is.
    """
    if len(aligned.oof) < 2 or len(set(aligned.tasks.values())) > 1:
        return {}
    task = next(iter(aligned.tasks.values()))
    rows = choose_sample(aligned.ids, DROP_ROWS)
    sample = replace(aligned, ids=aligned.ids[rows], fold=aligned.fold[rows], oof=dict(_take(aligned.oof, rows)))
    answers = _take(answers, rows)

    def measure(without: str | None, ready: Mapping[int, np.ndarray]) -> tuple[float | None, Predictions | None, list]:
        members = {name: part for name, part in sample.oof.items() if name != without}
        try:
            oof, rules = cross_blend(build, replace(sample, oof=members), task, answers, ready)
            found = score(answers, oof.values)
        except CompError:
            return None, None, []
        return (found if np.isfinite(found) else None), oof, rules

    whole, oof, rules = measure(None, {})
    shares = [_weights_of(rule) for rule in rules]
    parts = [held_out for _, held_out in split_rows(sample.ids, sample.fold)]
    losses: dict[str, float | None] = {}
    for name in sample.oof:
        if name in unused:
            losses[name] = 0.0
            continue
        idle = [part for part, share in enumerate(shares) if share is not None and not share.get(name)]
        left = measure(name, {part: oof.values[parts[part]] for part in idle} if oof else {})[0]
        losses[name] = None if whole is None or left is None else whole - left
    return losses


def correlate_members(aligned: Aligned) -> dict[str, dict[str, float]]:
    """Member -> member -> Pearson's correlation of their OOF, the mean over outputs that vary. Empty for different targets.

    At most CORRELATED_ROWS rows are looked at, evenly spread.
    """
    if len(set(aligned.tasks.values())) > 1:
        return {}
    names, found = list(aligned.oof), []
    rows = np.unique(np.linspace(0, len(aligned.ids) - 1, CORRELATED_ROWS).astype(np.int64))
    parts = [values if len(rows) == len(values) else values[rows] for values in aligned.oof.values()]
    for column in range(next(iter(aligned.tasks.values())).outputs):
        cells = np.stack([values[:, column] for values in parts])
        cells = cells - cells.mean(axis=1, keepdims=True)
        length = np.linalg.norm(cells, axis=1, keepdims=True)
        if (length > 0).all():
            cells /= length
            found.append(np.clip(cells @ cells.T, -1, 1))
    if not found:
        return {}
    mean = np.mean(found, axis=0)
    return {name: dict(zip(names, row.tolist(), strict=True)) for name, row in zip(names, mean, strict=True)}
