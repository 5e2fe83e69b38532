"""Rare: classes with fewer units than folds, and the score that stays in reach beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from comp.competition import Competition, encode_targets, unit_table

if TYPE_CHECKING:
    from comp.folds import Folds


@dataclass(frozen=True)
class RareClasses:
    """Classes of a target with fewer units than folds, and what they cost.

    Attributes:
        classes: (class, units), rarest first.
        scored: answers that are scored (held-out units; multilabel: their labels).
        out_of_reach: those of them whose class no training row of their fold has.
        accuracy_in_reach: the greatest accuracy (multilabel: recall) that is possible.
        macro_f1_in_reach: the greatest macro-averaged F1.
    """

    target: str
    classes: tuple[tuple[str, int], ...]
    scored: int
    out_of_reach: int
    accuracy_in_reach: float
    macro_f1_in_reach: float


def rare_classes(competition: Competition, folds: Folds) -> list[RareClasses]:
    """What rare classes there are (in the first repeat), target by target; targets without any are left out."""
    units = unit_table(competition.tables)
    fold, found = folds.of(units["id"]), []
    for target in competition.task.targets:
        if target.kind == "regression":
            continue
        values = encode_targets(competition.task.only(target.name), units)[target.name]
        unit, label = np.nonzero(values > 0) if target.kind == "multilabel" else (np.arange(len(values)), values)
        width = len(target.classes)
        columns = folds.per_repeat + 1
        counts = np.bincount(label * columns + fold[unit] + 1, minlength=width * columns).reshape(width, columns)
        totals = counts.sum(axis=1)
        rare = [position for position in np.argsort(totals, kind="stable").tolist() if totals[position] < folds.per_repeat]
        if not rare:
            continue
        scored = counts[:, 1:].sum(axis=1)
        lost = np.where(counts[:, 1:] == totals[:, None], counts[:, 1:], 0).sum(axis=1)
        reach = scored - lost
        # The most that F1 can be with `lost` answers missed and nothing wrong besides: 2 TP / (2 TP + FN).
        best_f1 = (2 * reach / np.maximum(reach + scored, 1))[scored > 0]
        found.append(
            RareClasses(
                target.name, tuple((target.classes[position], int(totals[position])) for position in rare), int(scored.sum()),
                int(lost.sum()), float(reach.sum() / max(1, scored.sum())), float(best_f1.mean()),
            )
        )  # fmt: skip
    return found
