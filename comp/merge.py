"""Merging: what a run's folds left becomes the two files that people read, and scores.json.

Runs again whenever a fold is added, or when the metric, the views or the post that count have changed; nothing is trained for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from comp.api import Task
from comp.bootstrap import estimate_interval
from comp.competition import encode_targets, unit_table
from comp.errors import PredictionsError, WorkspaceError
from comp.ids import locate_ids
from comp.manifest import Manifest
from comp.plan import RunPlan
from comp.post import Chain, build_chain, cross_apply, strip_state
from comp.predictions import (
    Predictions,
    demand_same_task,
    link_outputs,
    merge_oof,
    merge_test,
    read_predictions,
    read_raw,
    write_predictions,
)
from comp.project import atomic_write, hold_lock
from comp.runs import fold_folder, read_fold
from comp.scores import build_all_metrics, build_metrics, score_predictions, score_rows
from comp.views import PLAIN, choose_views


def merge_run(plan: RunPlan, write: bool = True, decides: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Write oof.parquet, test.parquet and scores.json from the folds that are done. None while there is none.

    Args:
        write: false only scores, and leaves the files as they are.
        decides: the metric that post is fitted by; None: the manifest's.

    Raises:
        PredictionsError: a fold lacks a view that the manifest's tta means (`comp score` predicts it).
    """
    with hold_lock(plan.run.folder / ".merge.lock"):
        # Asked under the lock: another process that waited for it must not overwrite with fewer folds.
        done = plan.run.done
        if not done:
            return None
        oof = average_oof(plan, done)
        if write and not plan.run.is_given:
            write_predictions(plan.run.folder / "oof.parquet", oof)
            test = average_test(plan, done)
            if test is not None:
                write_predictions(plan.run.folder / "test.parquet", test)
        record, posted = score_oof(plan, oof, done, decides)
        if write:
            write_posted(plan, posted)
            atomic_write(plan.run.folder / "scores.json", json.dumps(record, indent=2))
        return record


def average_oof(plan: RunPlan, folds: list[str], seed: int | None = None) -> Predictions:
    if plan.run.is_given:
        return read_predictions(plan.run.folder / "oof.parquet")
    views = wanted_views(plan, folds[0], "oof.parquet")
    rule = plan.manifest.values["aggregate"]
    return merge_oof(plan.run.folder, plan.competition.trained, folds, views, rule, plan.folds.per_repeat, seed)


def average_test(plan: RunPlan, folds: list[str]) -> Predictions | None:
    """The folds' test predictions (`["full"]`: that model's alone); None where there was no test set."""
    if plan.run.is_given:
        file = plan.run.folder / "test.parquet"
        return read_predictions(file) if file.exists() else None
    if not all((fold_folder(plan.run.folder, fold) / "test.parquet").exists() for fold in folds):
        return None
    views = wanted_views(plan, folds[0], "test.parquet")
    return merge_test(plan.run.folder, plan.competition.trained, folds, views, plan.manifest.values["aggregate"])


def wanted_views(plan: RunPlan, fold: str, file: str) -> list[str]:
    return choose_views(stored_views(plan, fold, file), plan.manifest.values["tta"])


def stored_views(plan: RunPlan, fold: str, file: str) -> list[str]:
    path = fold_folder(plan.run.folder, fold) / file
    return sorted(set(read_raw(path).views)) if path.exists() else []


def score_oof(
    plan: RunPlan, oof: Predictions, done: list[str], decides: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Predictions | None]:
    """What scores.json holds, and the OOF after post (None without post).

    With post the scores are of what it makes of the OOF, cross-fitted over the folds; `raw` holds those before it, and `post`
    its rules as fitted on all OOF, which the test predictions are given.

    Args:
        decides: the metric that post is fitted by; None: the manifest's.
    """
    values, task = plan.manifest.values, plan.competition.task
    units = unit_table(plan.competition.tables)
    ids, targets = units["id"].to_numpy(dtype=object), encode_targets(task, units)
    metrics = build_all_metrics(plan.manifest.catalog, [values["metric"], *values["also"]], task)
    scores = score_predictions(oof, ids, targets, metrics).to_record()
    place = locate_ids(oof.ids, ids, "the OOF predictions", "the training table")
    answers = {name: rows[place] for name, rows in targets.items()}
    posted, extra = None, {"post": []}
    if values["post"]:
        posted = cross_apply(lambda: make_chain(plan.manifest, task, decides), oof, answers)
        chain = make_chain(plan.manifest, task, decides)
        chain.fit(oof.values, answers)
        raw = {key: scores[key] for key in ("pooled", "mean", "std", "per_fold")}
        raw["also"] = {name: other["pooled"] for name, other in scores["also"].items()}
        extra = {"raw": raw, "post": chain.describe()}
        scores = score_predictions(posted, ids, targets, metrics).to_record()
    folds = [read_fold(fold_folder(plan.run.folder, fold)) or {} for fold in done]
    record = {
        **scores,
        **extra,
        "experiment": plan.manifest.name,
        "digest": plan.run.digest,
        "folds": plan.run.folds,
        "folds_done": done,
        "complete": done == plan.run.folds,
        # Of some folds it would say more of the folds than of the run, and after each fold it would cost its seconds.
        "interval": estimate_interval(posted or oof, answers, next(iter(metrics.values()))) if done == plan.run.folds else None,
        "tta": [dict(spec) for spec in values["tta"]],
        "aggregate": values["aggregate"],
        "further": plan.run.state.get("further", {}),
        "elapsed_s": round(sum(fold.get("elapsed_s", 0.0) for fold in folds), 3),
        "selection": describe_selection(folds),
    }
    if plan.folds.repeats > 1:
        times = np.isin(plan.folds.of_all(oof.ids), list(map(int, done))).sum(axis=0)
        record["coverage"]["times"] = [int(times.min()), int(times.max())]
    if seeds := values.get("seeds"):
        each = [score_predictions(average_oof(plan, done, seed), ids, targets, metrics).to_record()["pooled"] for seed in seeds]
        record["seeds"] = describe_seeds(dict(zip(map(str, seeds), each, strict=True)))
    if plan.run.is_given:
        stored = plan.run.scores() or {}
        record |= {key: stored[key] for key in ("members", "elapsed_s") if key in stored}
        # What a member is worth is by the metric that decides.
        record |= {"blend": stored["blend"]} if "blend" in stored and stored["metric"] == record["metric"] else {}
    return record, posted


def score_fold(plan: RunPlan, fold: str) -> float:
    """A complete fold's held-out score by the plan's own metric, whichever decided when it was trained; NaN where it has none.

    Of the rows as a fold scores itself: each one's plain view, and the mean over seeds.

    Raises:
        PredictionsError: its predictions are missing, or of another task.
    """
    path, tables = fold_folder(plan.run.folder, fold) / "oof.parquet", plan.competition.tables
    raw, task, metrics = read_raw(path), plan.competition.task, plan.build_metrics()
    demand_same_task(raw.task, plan.competition.trained, str(path))
    place = locate_ids(raw.row_ids, tables.train["row_id"].to_numpy(dtype=object), str(path), "the training table")
    answers, values = encode_targets(task, tables.train), link_outputs(raw.outputs, raw.task, raw.links)
    scores = []
    for seed in np.unique(raw.seeds):
        rows = (raw.seeds == seed) & (raw.views == PLAIN)
        part = {name: targets[place[rows]] for name, targets in answers.items()}
        scores.append(next(iter(score_rows(task, "score", metrics, part, values[rows]).values()), math.nan))
    return float(np.mean(scores))


def describe_seeds(scores: Mapping[str, float | None]) -> dict[str, Any]:
    """Each seed's pooled score (None: undefined), and the standard deviation of those that there are; None of none."""
    known = [score for score in scores.values() if score is not None]
    std = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0 if known else None
    return {"scores": dict(scores), "std": std}


# ---- post ----------------------------------------------------------------------------------------------------------------


def make_chain(manifest: Manifest, task: Task, decides: Mapping[str, Any] | None = None) -> Chain:
    """The manifest's post, not fitted.

    Args:
        decides: the metric that it is fitted by; None: the manifest's.

    Raises:
        PluginError: a rule does not fit a target.
    """
    metrics = build_metrics(manifest.catalog, decides or manifest.values["metric"], task)
    return build_chain(manifest.catalog, manifest.values["post"], task, metrics)


def apply_post(plan: RunPlan, test: Predictions, scores: Mapping[str, Any]) -> Predictions:
    """Test predictions as they are submitted: by the rules that `scores` (a scores.json) says were fitted on all OOF.

    Raises:
        WorkspaceError: these are not the rules that the manifest has by now.
    """
    fitted, wanted = scores.get("post", []), plan.manifest.values["post"]
    if strip_state(fitted) != wanted:
        name = plan.manifest.name
        raise WorkspaceError(
            f"the post of {name} has changed since it was fitted; `comp score {name}` fits what its manifest says."
        )
    if not wanted:
        return test
    chain = make_chain(plan.manifest, plan.competition.task)
    chain.load(fitted)
    return replace(test, values=chain.apply(test.values))


def write_posted(plan: RunPlan, posted: Predictions | None) -> None:
    """post.parquet: the OOF after post, cross-fitted; absent where there is none."""
    file = plan.run.folder / "post.parquet"
    if posted is None:
        file.unlink(missing_ok=True)
    else:
        write_predictions(file, posted)


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
        if len(lacking) < len(folds) and not plan.run.is_given:
            run = f"folds {', '.join(lacking)} of {run}"
        raise PredictionsError(
            f"no test predictions in {run}: the test set was absent or empty then. "
            f"With the test images in place: `comp predict {plan.manifest.name} --test DIR --out FILE`."
        )
    return test
