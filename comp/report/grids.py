"""Grids: which pictures a report shows: training samples, test pictures, and the mistakes that were surest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from comp import formats
from comp.pictures import (
    MOST_SHOWN,
    SAMPLES,
    Grid,
    Look,
    Picture,
    format_share,
    make_grid,
    name_answer,
    name_answers,
    name_truth,
    shorten,
    spread,
)
from comp.predictions import Predictions
from comp.report.answered import SINGLE_CLASS, Answered

LEAST_SHOWN = 6
"""Of each target's mistakes, however many targets there are."""


def read_samples(run_folder: Path) -> list[tuple[str, Grid]]:
    """(stage, training pictures as the network was given them), of the first fold that kept any."""
    files = sorted([*run_folder.glob(f"*/{SAMPLES}"), *run_folder.glob(f"*/*/{SAMPLES}")])
    if not files:
        return []
    stages = formats.read_record(files[0], formats.SAMPLES)["stages"]
    grids = {name: tuple(Picture(one["jpeg"], tuple(one["lines"])) for one in stage) for name, stage in stages.items()}
    return [(name, Grid(pictures, len(pictures))) for name, pictures in grids.items()]


def show_predicted(predicted: Predictions, look: Look) -> Grid:
    """Test pictures, evenly spread over the predictions, with what was predicted."""
    chosen = spread(len(predicted.ids))
    lines = [name_answers(predicted.task, predicted.values[place]) for place in chosen]
    return make_grid(look, "test", predicted.ids[chosen].tolist(), lines, len(predicted.ids))


def show_mistakes(answers: Sequence[Answered], look: Look) -> list[tuple[str, str, Grid]]:
    """(target, what the grid is, the held-out pictures that were wrong by most, the worst first)."""
    most = max(LEAST_SHOWN, MOST_SHOWN // max(1, len(answers)))
    found = []
    for answered in answers:
        wrong, by = judge(answered)
        order = wrong[np.argsort(-by[wrong], kind="stable")]
        lines = [describe_mistake(answered, place) for place in order[:most]]
        grid = make_grid(look, "train", answered.ids[order[:most]].tolist(), lines, len(order))
        what = "Furthest off" if answered.target.kind == "regression" else "Surest mistakes"
        found.append((answered.target.name, what, grid))
    return found


def judge(answered: Answered) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the units that are wrong (of numbers: all), and (N,) how sure, or how far off, each unit's answer is.

    Of a set of labels the label that is wrong by most counts.
    """
    values, truth = answered.values, answered.truth
    if answered.target.kind in SINGLE_CLASS:
        return np.flatnonzero((values.argmax(axis=1) != truth) & (truth >= 0)), values.max(axis=1)
    if answered.target.kind == "multilabel":
        wrong = (values >= 0.5) != (truth >= 0.5)
        return np.flatnonzero(wrong.any(axis=1)), np.where(wrong, np.abs(values - truth), 0.0).max(axis=1, initial=0.0)
    return np.arange(len(truth)), np.abs(values[:, 0] - truth)


def describe_mistake(answered: Answered, place: int) -> list[str]:
    target, values, truth = answered.target, answered.values[place], answered.truth[place]
    lines = [f"true: {name_truth(target, truth)}", f"predicted: {name_answer(target, values)}"]
    if target.kind == "multilabel":
        wrong = (values >= 0.5) != (truth >= 0.5)
        worst = int(np.where(wrong, np.abs(values - truth), -1.0).argmax())
        what = "missed" if truth[worst] >= 0.5 else "not there"
        lines.append(f"{what}: {shorten(target.classes[worst])} ({format_share(values[worst])})")
    return lines
