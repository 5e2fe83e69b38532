"""Merging: what a run's folds left becomes the two files that people read, and scores.json.

Runs again whenever a fold is added, or when the metric or the views that count have changed; nothing is trained for it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from filelock import FileLock

from comp.competition import encode_targets, unit_table
from comp.errors import PredictionsError
from comp.plan import RunPlan
from comp.predictions import Predictions, merge_oof, merge_test, read_predictions, read_raw, write_predictions
from comp.project import atomic_write
from comp.runs import fold_folder, read_fold
from comp.scores import build_all_metrics, score_predictions
from comp.views import choose_views


def merge_run(plan: RunPlan, write: bool = True) -> dict[str, Any] | None:
    """Write oof.parquet, test.parquet and scores.json from the folds that are done. None while there is none.

    Args:
        write: false only scores, and leaves the files as they are.

    Raises:
        PredictionsError: a fold lacks a view that the manifest's tta means (`comp score` predicts it).
    """
    with FileLock(plan.run.folder / ".merge.lock"):
        # Asked under the lock: another process that waited for it must not overwrite with fewer folds.
        done = plan.run.done
        if not done:
            return None
        oof = average_oof(plan, done)
        record = score_oof(plan, oof, done)
        if write and not plan.run.is_blend:
            write_predictions(plan.run.folder / "oof.parquet", oof)
            test = average_test(plan, done)
            if test is not None:
                write_predictions(plan.run.folder / "test.parquet", test)
        if write:
            atomic_write(plan.run.folder / "scores.json", json.dumps(record, indent=2))
        return record


def average_oof(plan: RunPlan, folds: list[str]) -> Predictions:
    if plan.run.is_blend:
        return read_predictions(plan.run.folder / "oof.parquet")
    return merge_oof(plan.run.folder, plan.competition.task, folds, wanted_views(plan, folds[0], "oof.parquet"))


def average_test(plan: RunPlan, folds: list[str]) -> Predictions | None:
    """The folds' test predictions (`["full"]`: that model's alone); None where there was no test set."""
    if plan.run.is_blend:
        file = plan.run.folder / "test.parquet"
        return read_predictions(file) if file.exists() else None
    if not all((fold_folder(plan.run.folder, fold) / "test.parquet").exists() for fold in folds):
        return None
    return merge_test(plan.run.folder, plan.competition.task, folds, wanted_views(plan, folds[0], "test.parquet"))


def wanted_views(plan: RunPlan, fold: str, file: str) -> list[str]:
    return choose_views(stored_views(plan, fold, file), plan.manifest.values["tta"])


def stored_views(plan: RunPlan, fold: str, file: str) -> list[str]:
    path = fold_folder(plan.run.folder, fold) / file
    return sorted(set(read_raw(path).views)) if path.exists() else []


def score_oof(plan: RunPlan, oof: Predictions, done: list[str]) -> dict[str, Any]:
    """What scores.json holds: OOF scored by the manifest's metrics, and how the epoch was chosen."""
    values, task = plan.manifest.values, plan.competition.task
    units = unit_table(plan.competition.tables)
    metrics = build_all_metrics(plan.manifest.catalog, [values["metric"], *values["also"]], task)
    scores = score_predictions(oof, units["id"].to_numpy(dtype=object), encode_targets(task, units), metrics)
    folds = [read_fold(fold_folder(plan.run.folder, fold)) or {} for fold in done]
    return {
        **scores.to_record(),
        "experiment": plan.manifest.name,
        "digest": plan.run.digest,
        "folds": plan.run.folds,
        "folds_done": done,
        "complete": done == plan.run.folds,
        "tta": [dict(spec) for spec in values["tta"]],
        "elapsed_s": round(sum(fold.get("elapsed_s", 0.0) for fold in folds), 3),
        "selection": describe_selection(folds),
        **({"members": (plan.run.scores() or {}).get("members", {})} if plan.run.is_blend else {}),
    }


def describe_selection(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """What choosing an epoch on the held-out rows is worth: means over the folds of the best and the last epoch's score.

    The gap is how much `select: best` flatters the score; both are of the plain view.
    """
    pairs = [
        (next(iter(fold["scores_best"].values())), next(iter(fold["scores_last"].values())))
        for fold in folds
        if fold.get("scores_best") and fold.get("scores_last")
    ]
    if not pairs:
        return {}
    best, last = (float(np.mean(values)) for values in zip(*pairs, strict=True))
    return {"select": folds[0]["select"], "best": best, "last": last, "gap": best - last}


def demand_tests(plan: RunPlan, folds: list[str]) -> Predictions:
    """The test predictions to submit.

    Raises:
        PredictionsError: the run has none, or they are empty.
    """
    test = average_test(plan, folds)
    if test is None or not len(test.ids):
        lacking = [fold for fold in folds if not (fold_folder(plan.run.folder, fold) / "test.parquet").exists()]
        run = f"{plan.manifest.name}@{plan.run.digest}"
        if len(lacking) < len(folds) and not plan.run.is_blend:
            run = f"folds {', '.join(lacking)} of {run}"
        raise PredictionsError(
            f"no test predictions in {run}: the test set was absent or empty then. "
            f"With the test images in place: `comp predict {plan.manifest.name} --test DIR --out FILE`."
        )
    return test
