"""`comp score`: a finished run scored anew, by today's metric, tta and post, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comp.errors import PredictionsError
from comp.events import Emit
from comp.finished import plan_finished
from comp.merge import merge_run
from comp.plan import RunPlan
from comp.predictions import read_raw
from comp.project import Project
from comp.runs import FULL, fold_folder
from comp.views import list_complete, missing_views


def score_run(project: Project, reference: str, metric: str | None, emit: Emit) -> dict[str, Any]:
    """Scores of a stored run. With `metric` (a name, or a mapping such as `{use: f1, average: micro}`) only shown;
    without, the run's scores.json and its files are rewritten for today's metric, tta and post.

    Raises:
        WorkspaceError: there is no run.
        ManifestError: no such metric.
    """
    plan = plan_finished(project, reference, emit, partial=True)
    decides = plan.manifest.values["metric"]
    if metric is not None:
        plan = plan.with_values(metric=plan.manifest.parse_plugin("metric", metric), also=[])
    complete_views(plan, emit)
    return merge_run(plan, write=metric is None, decides=decides) or {}


def complete_views(plan: RunPlan, emit: Emit, full: bool = False) -> None:
    """Predict the views that the manifest's tta means and the run does not have yet, held-out and test alike."""
    if plan.run.is_given:
        return
    folds = [*plan.run.done, *([FULL] if full else [])]
    lacking = [fold for fold in folds if lacks_views(plan, fold)]
    if lacking:
        from comp.restored import add_views  # the engine, and torch with it, only where there is something to predict

        add_views(plan, lacking, emit)


def lacks_views(plan: RunPlan, fold: str) -> bool:
    paths = [fold_folder(plan.run.folder, fold) / file for file in ("oof.parquet", "test.parquet")]
    stored = [list_complete(raw.views, raw.seeds) for raw in map(read_raw, filter(Path.exists, paths)) if len(raw.views)]
    if not stored:
        raise PredictionsError(f"fold {fold} of {plan.manifest.name}@{plan.run.digest} has no stored predictions; run it again.")
    return any(missing_views(views, plan.manifest.values["tta"]) for views in stored)
