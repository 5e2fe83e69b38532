"""Values: how far predicted numbers are from the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comp.pictures import spread
from comp.report.answered import Answered
from comp.report.curves import COLOURS, Curve, draw_chart

MOST_POINTS = 600


@dataclass(frozen=True)
class ValueReport:
    """One number. `figures`: (name, value); None where it is undefined. `chart`: SVG, predicted against true."""

    target: str
    figures: tuple[tuple[str, float | None], ...]
    chart: str


def report_values(answers: Sequence[Answered]) -> list[ValueReport]:
    """A report for each target that is a number."""
    return [
        ValueReport(answered.target.name, measure(answered.truth, answered.values[:, 0]), draw_points(answered))
        for answered in answers
        if answered.target.kind == "regression" and len(answered.ids)
    ]


def measure(truth: np.ndarray, values: np.ndarray) -> tuple[tuple[str, float | None], ...]:
    truth = truth.astype(np.float64)
    error = values - truth
    around = ((truth - truth.mean()) ** 2).sum()
    varied = around > 0 and np.ptp(values) > 0
    return (
        ("mean absolute error", float(np.abs(error).mean())),
        ("root mean squared error", float(np.sqrt((error**2).mean()))),
        ("mean error (predicted − true)", float(error.mean())),
        ("R²", float(1 - (error**2).sum() / around) if around > 0 else None),
        ("correlation", float(np.corrcoef(truth, values)[0, 1]) if varied else None),
    )


def draw_points(answered: Answered) -> str:
    """At most MOST_POINTS units, evenly spread over the table, and the line on which all would be right."""
    chosen = spread(len(answered.ids), MOST_POINTS)
    truth, values = answered.truth[chosen].astype(np.float64), answered.values[chosen, 0]
    low, high = float(min(truth.min(), values.min())), float(max(truth.max(), values.max()))
    points = Curve("units", tuple(zip(truth.tolist(), values.tolist(), strict=True)), COLOURS[0], dots=True)
    right = Curve("predicted as it is", ((low, low), (high, high)), COLOURS[6], dashed=True)
    return draw_chart([right, points], f"{answered.target.name}: predicted against true", "true", "predicted", whole_x=False)
