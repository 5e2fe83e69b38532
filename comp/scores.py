"""Scores: what a run's OOF predictions are worth. The pooled score is the headline; folds, targets and classes stand beside it.

What a metric computes is a plugin's business (kind `metric`); this module joins answers to predictions by id, calls it and
names what has no score. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from comp.api import Metric, MetricUndefined, Target, Task
from comp.catalog import Catalog
from comp.errors import PluginError
from comp.formats import SCORES
from comp.ids import locate_ids
from comp.predictions import Predictions


@dataclass(frozen=True)
class MetricScores:
    """One metric's scores. None: undefined there, and `undefined` says why.

    Attributes:
        pooled: over all scored units at once; of several targets the mean.
        per_fold: fold number as text -> the same over that fold's units.
        mean, std: of the folds that have a score; std is the sample's (n - 1), None below two folds.
        per_target: target -> pooled score.
        per_class: target -> class -> pooled score, where the metric has such.
        undefined: `pooled`, `fold 3`, ... -> the reason.
    """

    greater_is_better: bool
    pooled: float | None
    per_fold: dict[str, float | None]
    mean: float | None
    std: float | None
    per_target: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]
    undefined: dict[str, str]


@dataclass(frozen=True)
class Scores:
    """All metrics of a run; the first decides. `scored` of the `units` of the training table have an OOF prediction."""

    metrics: dict[str, MetricScores]
    scored: int
    units: int

    def to_record(self) -> dict[str, Any]:
        """What scores.json holds: the deciding metric at the top, the others under `also`."""
        (name, first), *others = self.metrics.items()
        return {
            "format": SCORES,
            "metric": name,
            **asdict(first),
            "also": {other: asdict(scores) for other, scores in others},
            "coverage": {"scored": self.scored, "units": self.units},
        }


def build_metrics(catalog: Catalog, spec: Mapping[str, Any], task: Task) -> dict[str, Metric]:
    """One metric for each target, in the task's order.

    Raises:
        PluginError: the metric does not fit a target, or returns no Metric.
    """
    metrics = {target.name: catalog.build("metric", spec, task=task.only(target.name)) for target in task.targets}
    for metric in metrics.values():
        if not isinstance(metric, Metric):
            raise PluginError(f"metric {spec['use']!r} returned {type(metric).__name__}; wanted a comp.api.Metric")
    return metrics


def build_all_metrics(catalog: Catalog, specs: Sequence[Mapping[str, Any]], task: Task) -> dict[str, dict[str, Metric]]:
    """Name -> target -> metric, the deciding one first. A metric used twice bears its arguments: `macro_f1(threshold=0.3)`."""
    built: dict[str, dict[str, Metric]] = {}
    for spec in specs:
        arguments = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "use")
        name = spec["use"] if spec["use"] not in built else f"{spec['use']}({arguments})"
        built.setdefault(name, build_metrics(catalog, spec, task))
    return built


def score_rows(
    task: Task, name: str, metrics: Mapping[str, Metric], targets: Mapping[str, np.ndarray], values: np.ndarray
) -> dict[str, float]:
    """Scores of targets and predictions (N, outputs) that are in one order: `name`, and with several targets `name.target`.

    Empty where the headline is undefined.
    """
    headline, per_target, _ = _score(task, metrics, targets, values)
    if headline is None:
        return {}
    several = per_target if len(task.targets) > 1 else {}
    return {name: headline, **{f"{name}.{target}": score for target, score in several.items() if score is not None}}


def score_predictions(
    predictions: Predictions,
    unit_ids: Sequence[str] | np.ndarray,
    targets: Mapping[str, np.ndarray],
    metrics: Mapping[str, Mapping[str, Metric]],
) -> Scores:
    """Score a run's OOF.

    Args:
        unit_ids: (U,) the units of the training table, in the order of `targets`.
        targets: target -> (U,) int64 classes, (U, L) float32 labels or (U,) float values.
        metrics: what build_all_metrics returns.

    Raises:
        PredictionsError: a prediction's id is not among the units.
    """
    place = locate_ids(predictions.ids, unit_ids, "the OOF predictions", "the training table")
    aligned = {name: np.asarray(answers)[place] for name, answers in targets.items()}
    scored = {name: _score_metric(predictions, aligned, by_target) for name, by_target in metrics.items()}
    return Scores(scored, len(predictions.ids), len(unit_ids))


def _score_metric(predictions: Predictions, targets: Mapping[str, np.ndarray], metrics: Mapping[str, Metric]) -> MetricScores:
    task, values, fold = predictions.task, predictions.values, predictions.fold
    pooled, per_target, reason = _score(task, metrics, targets, values)
    undefined = {"pooled": reason} if reason else {}
    per_fold: dict[str, float | None] = {}
    for number in [] if fold is None else np.unique(fold):
        rows = fold == number
        part = {name: answers[rows] for name, answers in targets.items()}
        per_fold[str(number)], _, reason = _score(task, metrics, part, values[rows])
        if reason:
            undefined[f"fold {number}"] = reason
    known = np.array([score for score in per_fold.values() if score is not None], dtype=np.float64)
    return MetricScores(
        greater_is_better=next(iter(metrics.values())).greater_is_better,
        pooled=pooled,
        per_fold=per_fold,
        mean=float(known.mean()) if len(known) else None,
        std=float(known.std(ddof=1)) if len(known) > 1 else None,
        per_target=per_target,
        per_class=_score_classes(task, metrics, targets, values),
        undefined=undefined,
    )


def _score(
    task: Task, metrics: Mapping[str, Metric], targets: Mapping[str, np.ndarray], values: np.ndarray
) -> tuple[float | None, dict[str, float | None], str]:
    """The mean over targets, each target's score, and why there is none (empty where there is)."""
    per_target: dict[str, float | None] = {}
    reasons = []
    for target in task.targets:
        try:
            per_target[target.name] = _compute(
                metrics[target.name], target, targets[target.name], _values_of(task, target, values)
            )
        except MetricUndefined as why:
            per_target[target.name] = None
            reasons.append(f"{target.name}: {why}" if len(task.targets) > 1 else str(why))
    known = [score for score in per_target.values() if score is not None]
    return (None if reasons else float(np.mean(known))), per_target, "; ".join(reasons)


def _compute(metric: Metric, target: Target, answers: np.ndarray, values: np.ndarray) -> float:
    if len(answers) == 0:
        raise MetricUndefined("no unit is scored")
    wanted = (len(answers), *(() if target.kind == "regression" else (target.width,)))
    assert values.shape == wanted, (target.name, values.shape, wanted)
    score = float(metric.compute(answers, values))
    if not math.isfinite(score):
        raise MetricUndefined(f"the metric returned {score}")
    return score


def _score_classes(
    task: Task, metrics: Mapping[str, Metric], targets: Mapping[str, np.ndarray], values: np.ndarray
) -> dict[str, dict[str, float | None]]:
    found = {}
    for target in task.targets:
        per_class = metrics[target.name].per_class
        if per_class is None or not target.classes or len(values) == 0:
            continue
        scores = np.asarray(per_class(targets[target.name], _values_of(task, target, values)), dtype=np.float64)
        if scores.shape != (target.width,):
            raise PluginError(
                f"per_class returned {scores.shape} for {target.name!r}; wanted one score per class, ({target.width},)"
            )
        found[target.name] = {
            name: float(score) if math.isfinite(score) else None for name, score in zip(target.classes, scores, strict=True)
        }
    return found


def _values_of(task: Task, target: Target, values: np.ndarray) -> np.ndarray:
    """A target's predictions: (N, width) probabilities, or (N,) values."""
    part = np.asarray(values[:, task.slices[target.name]], dtype=np.float64)
    return part[:, 0] if target.kind == "regression" else part
