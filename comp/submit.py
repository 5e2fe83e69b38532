"""`comp submit`: a run's test predictions as a numbered, checked file that can be traced to what made it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comp.errors import WorkspaceError
from comp.events import Emit, Notice
from comp.finished import plan_finished
from comp.merge import apply_post, average_oof, demand_tests, score_oof
from comp.plan import RunPlan, describe_git, describe_test_set
from comp.project import Project
from comp.provenance import hash_inputs, hash_sources, list_test_ids
from comp.runs import FULL, list_runs
from comp.score import complete_views
from comp.submission import build_submission, write_submission


@dataclass(frozen=True)
class SubmitResult:
    """What was submitted.

    Attributes:
        equals: the earlier version that holds the same answers; then nothing new was written.
        cv, cv_std: pooled OOF score and the folds' spread, made the same way as the submission.
        local: what the leaderboard plugin says, e.g. {"public": 0.99}.
        digest: of the run that it was made from.
    """

    version: str
    path: Path
    equals: str | None
    metric: str
    cv: float | None
    cv_std: float | None
    local: dict[str, float]
    warnings: list[str]
    digest: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def submit_experiment(
    project: Project,
    reference: str,
    *,
    message: str = "",
    tta: Sequence[str] | None = None,
    full: bool = False,
    partial: bool = False,
    emit: Emit,
) -> SubmitResult:
    """Write the next version of an experiment's submission.

    Args:
        tta: tta plugins (a name, or as in `{use: hflip}`) instead of the manifest's; OOF is predicted the same way,
            and its CV is the one recorded.
        full: the model trained on everything, alone.
        partial: accept a run of which some folds are missing.

    Raises:
        WorkspaceError: no run, or an incomplete one without `partial`.
        SubmissionError: the sample's form refuses the answers; nothing was written.
    """
    plan = plan_finished(project, reference, emit, partial)
    warnings: list[str] = []
    refuse_wishes(plan, tta, full)
    if tta is not None:
        plan = plan.with_values(tta=[plan.manifest.parse_plugin("tta", name) for name in tta])
    if not plan.run.complete:
        warnings.append(f"partial: {len(plan.run.done)} of {len(plan.run.folds)} folds")
    complete_views(plan, emit, full)
    scores, _ = score_oof(plan, average_oof(plan, plan.run.done), plan.run.done)
    if full:
        warnings.append("full: one model trained on everything; the CV beside it is that of the folds")
    frame = make_frame(plan, [FULL] if full else plan.run.done, scores)
    tests = plan.competition.tables.test
    if tests is not None and len(tests) and (stub := describe_test_set(plan.competition.tables)):
        warnings.append(stub)
    for text in warnings:
        emit(Notice(text, "warning"))
    local = score_locally(plan, frame)
    record = {**describe_submission(plan, scores, full, tta is not None), "local": local, "message": message}
    written = write_submission(project, plan.manifest.name, frame, record)
    equals = None if written.new else written.version
    return SubmitResult(
        written.version, written.path, equals, scores["metric"], scores["pooled"], scores["std"], local, warnings, plan.run.digest
    )


def refuse_wishes(plan: RunPlan, tta: Sequence[str] | None, full: bool) -> None:
    """Raises WorkspaceError: what is asked for is not in this run."""
    name = plan.manifest.name
    if plan.run.is_given and (tta or full):
        asked = "--tta" if tta else "--full"
        what = "is a blend, which has no model of its own" if plan.run.is_blend else "was imported, without its model"
        where = "; it is for its members." if plan.run.is_blend else "."
        raise WorkspaceError(f"{name} {what}: {asked} cannot be honoured{where}")
    if full and not plan.run.has_full:
        others = [run.digest for run in list_runs(plan.project, name) if run.complete and run.has_full]
        there = f"; {', '.join(f'{name}@{digest}' for digest in others)} has one" if others else ""
        raise WorkspaceError(
            f"{name}@{plan.run.digest} has no model trained on everything{there}; "
            f"`comp run {name} --full` trains that of today's manifest."
        )


def make_frame(plan: RunPlan, folds: list[str], scores: Mapping[str, Any]) -> pd.DataFrame:
    """The competition's table, by the post that `scores` were made with, checked against the sample."""
    tables = plan.competition.tables
    spec, catalog = plan.manifest.values["submission"], plan.manifest.catalog
    test = apply_post(plan, demand_tests(plan, folds), scores)
    order = list_test_ids(tables)
    return build_submission(catalog, spec, plan.competition.task, test, tables.sample, tables.id_column, order)


def score_locally(plan: RunPlan, frame: pd.DataFrame) -> dict[str, float]:
    """What the leaderboard plugin of competition.yaml says of these answers; empty without one."""
    spec = plan.manifest.values["leaderboard"]
    if not spec:
        return {}
    leaderboard = plan.manifest.catalog.build("leaderboard", spec, root=plan.project.root, tables=plan.competition.tables)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "submission.csv"
        frame.to_csv(file, index=False)
        return dict(leaderboard(file))


def describe_submission(plan: RunPlan, scores: Mapping[str, Any], full: bool, asked_tta: bool) -> dict[str, Any]:
    """What a submission can be traced by and rebuilt from: its run, code, files, manifest keys that shaped it, and its CV.

    Args:
        asked_tta: the views were asked for by `--tta`, instead of the manifest's.
    """
    values, run = plan.manifest.values, plan.run
    return {
        "digest": run.digest,
        "folds": ["full"] if full else run.done,
        "full": full,
        "partial": not run.complete,
        "metric": scores["metric"],
        "cv": scores["pooled"],
        "cv_std": scores["std"],
        "cv_raw": scores.get("raw", scores)["pooled"],
        "coverage": scores["coverage"],
        "tta": values["tta"],
        "tta_asked": asked_tta,
        "aggregate": values["aggregate"],
        "post": scores["post"],
        "submission": values["submission"],
        "inputs": hash_inputs(plan.competition.tables),
        "files": hash_sources(plan.run, [FULL] if full else run.done),
        # What trained is the run's to say: its sources may have been edited since.
        "plugins": {**plan.manifest.plugin_hashes(), **run.state["plugins"]},
        "git": describe_git(plan.project.root),
        "run_git": run.state["git"],
    }
