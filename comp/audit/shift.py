"""Shift: whether test pictures can be told from training pictures by what costs nothing to know of them (adversarial validation).

A classifier is asked, cross-validated, whether a picture is a test picture. An AUC of 0.5: nothing tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from comp.audit.findings import Finding
from comp.audit.traits import LAYOUT_PX, Traits

FEWEST = 30
"""Of fewer training or test pictures nothing is said."""

MOST = 10_000
"""Of each table, drawn at random."""

PARTS = 5
LEAST_AUC, GRAVE_AUC = 0.55, 0.65
SURE = 4.0
"""Standard errors of the AUC where nothing tells the tables apart."""


@dataclass(frozen=True)
class Sign:
    """One of the things that are known of pictures.

    Attributes:
        alone: the AUC of ordering by it (for layout: of its pixel that tells most); at least 0.5.
        without: how much of the AUC goes where it is shuffled.
        train, test: its medians; None for layout.
    """

    name: str
    alone: float
    without: float
    train: float | None
    test: float | None


@dataclass(frozen=True)
class Shift:
    """Attributes:
    auc: of all signs together, cross-validated.
    error: its standard error where nothing tells the tables apart.
    rows: pictures of both tables that were looked at.
    signs: those that tell most first.
    """

    auc: float
    error: float
    rows: tuple[int, int]
    signs: tuple[Sign, ...]


def list_signs(traits: Traits, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (N, n) float32 of the chosen pictures; signs that all of these have alike are left out."""
    height, width = traits.size_px[chosen].T.astype(np.float32)
    pixels, count = np.maximum(height * width, 1), traits.bytes[chosen].astype(np.float32)
    colours = traits.colours[chosen]
    names = ("red", "green", "blue") if (colours[:, 0] != colours[:, 1]).any() else ("grey",)
    layout = traits.layout[chosen].astype(np.float32).reshape(-1, LAYOUT_PX**2, 3)
    signs = {
        "height": height,
        "width": width,
        "width / height": width / np.maximum(height, 1),
        "file bytes": count,
        "bytes per pixel": count / pixels,
        **{f"mean {name}": colours[:, place] for place, name in enumerate(names)},
        **{f"contrast of {name}": colours[:, 3 + place] for place, name in enumerate(names)},
        "layout": (layout - layout.mean(axis=1, keepdims=True)).reshape(len(layout), -1),
    }
    shaped = {name: np.asarray(values, np.float32).reshape(len(chosen), -1) for name, values in signs.items()}
    return {name: values for name, values in shaped.items() if np.ptp(values, axis=0).any()}


def measure_shift(traits: Traits, train: np.ndarray, test: np.ndarray, seed: int = 0) -> Shift | None:
    """None where there are too few pictures, or all are alike.

    Args:
        train, test: positions of the pictures of each table.
        seed: of what is drawn, divided and shuffled.
    """
    random = np.random.default_rng(seed)
    both = [np.sort(random.choice(side, min(len(side), MOST), replace=False)) for side in (train, test)]
    if min(map(len, both)) < FEWEST:
        return None
    is_test = np.repeat([False, True], [len(side) for side in both])
    columns = list_signs(traits, np.concatenate(both))
    if not columns:
        return None
    scores, shuffled = _cross_validate(columns, is_test, random)
    auc, counts = compute_auc(scores, is_test), tuple(len(side) for side in both)
    error = ((sum(counts) + 1) / (12 * counts[0] * counts[1])) ** 0.5
    found = [_describe(name, values, is_test, auc - compute_auc(shuffled[name], is_test)) for name, values in columns.items()]
    ranked = sorted(found, key=lambda sign: (-round(sign.without, 4), -sign.alone))
    return Shift(auc, error, (counts[0], counts[1]), tuple(ranked))


def compute_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive one has the higher score, ties counting half (Mann and Whitney)."""
    _, codes, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    wins = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(wins / (positive.sum() * (~positive).sum()))


def judge_shift(shift: Shift | None) -> list[Finding]:
    if shift is None or shift.auc < LEAST_AUC or shift.auc - 0.5 < SURE * shift.error:
        return []
    most = ", ".join(sign.name for sign in shift.signs[:3])
    text = f"test pictures can be told from training pictures, with an AUC of {shift.auc:.3f}, mostly by {most}"
    do = "the score on held-out rows may not be that of the test set"
    return [Finding("warning" if shift.auc >= GRAVE_AUC else "note", "shift", text, do)]


def _cross_validate(
    columns: Mapping[str, np.ndarray], is_test: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(N,) the chance to be a test picture, by a model that did not see it; and the same where one sign was shuffled."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    data = np.hstack(list(columns.values()))
    ends = np.cumsum([values.shape[1] for values in columns.values()])
    slices = {name: slice(end - columns[name].shape[1], end) for name, end in zip(columns, ends.tolist(), strict=True)}
    part = np.empty(len(data), np.int64)
    for side in (is_test, ~is_test):
        part[side] = random.permutation(int(side.sum())) % PARTS
    scores, shuffled = np.empty(len(data)), {name: np.empty(len(data)) for name in columns}
    for number in range(PARTS):
        held_out = part == number
        model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, random_state=0, early_stopping=False)
        # One thread takes 5 s for 20,000 rows; two that wait for each other on a busy machine took twenty times as long.
        with threadpool_limits(1, user_api="openmp"):
            model.fit(data[~held_out], is_test[~held_out])
            scores[held_out] = _rank(model.predict_proba(data[held_out])[:, 1])
            for name, place in slices.items():
                other = data[held_out].copy()
                other[:, place] = other[random.permutation(len(other)), place]
                shuffled[name][held_out] = _rank(model.predict_proba(other)[:, 1])
    return scores, shuffled


def _rank(scores: np.ndarray) -> np.ndarray:
    """Within a part, from 0 to 1: what models of two parts say does not compare."""
    return np.unique(scores, return_inverse=True)[1] / max(1, len(scores) - 1)


def _describe(name: str, values: np.ndarray, is_test: np.ndarray, without: float) -> Sign:
    aucs = [compute_auc(column, is_test) for column in values.T]
    medians = [float(np.median(values[side])) for side in (~is_test, is_test)] if values.shape[1] == 1 else [None, None]
    return Sign(name, max(max(auc, 1 - auc) for auc in aucs), without, *medians)
