"""`comp merge`: finished folds of a run, copied from another machine or a team mate, join that run here."""

from __future__ import annotations

from pathlib import Path

from comp.adopt import Copy, adopt_folds, describe_differences, find_copies, say_foreign
from comp.errors import WorkspaceError
from comp.events import Emit, Notice
from comp.finished import plan_finished
from comp.formats import SCORES, read_record
from comp.given import RunResult
from comp.manifest import load_manifest, load_resolved
from comp.merge import merge_run
from comp.plan import open_run, plan_run
from comp.project import Project
from comp.run import report_run
from comp.runs import Run, list_runs
from comp.score import complete_views

SHOWN = 20
"""Copies that fit no run here, of which a message says why."""


def join_folder(project: Project, source: Path, name: str | None, emit: Emit) -> list[RunResult]:
    """Take over what `source` (a copied run's folder, or one above several) has finished, then merge and score.

    Args:
        name: the experiment; None: the one that each copy says it is of.

    Raises:
        WorkspaceError: there is no such experiment; nothing in it is of a run here; or a file is not what it was written as.
    """
    joined: dict[Path, Run] = {}
    foreign: dict[str, None] = {}
    if name is not None:
        project.experiment(name)
    for copy in find_copies(source):
        try:
            run = find_target(project, name or name_of(project, copy), copy)
        except WorkspaceError as error:
            foreign[str(error)] = None
            continue
        adopt_folds(run, copy, emit)
        joined[run.folder] = run
    if not joined:
        more = [f"… and {len(foreign) - SHOWN} more copies of other runs"] if len(foreign) > SHOWN else []
        raise WorkspaceError("\n".join([*list(foreign)[:SHOWN], *more]))
    for text in foreign:
        emit(Notice(text, "warning"))
    return [finish_join(project, run, emit) for run in joined.values()]


def name_of(project: Project, copy: Copy) -> str:
    """The experiment of this workspace that a copy is of: by the folder that it lay in, by its scores, or by its digest.

    Raises:
        WorkspaceError: none of these says.
    """
    scores = copy.folder / "scores.json"
    said = [
        copy.folder.parent.parent.name,
        read_record(scores, SCORES).get("experiment") if scores.is_file() else None,
        *(folder.parents[1].name for folder in project.experiments.glob(f"*/runs/{copy.folder.name}")),
    ]
    found = [name for name in said if name in project.names()]
    if not found:
        raise WorkspaceError(
            f"{copy.folder} does not say which experiment here it is of; name it: `comp merge {copy.folder} NAME`."
        )
    return found[0]


def find_target(project: Project, name: str, copy: Copy) -> Run:
    """The run here that a copy is of; made where the experiment has not run yet.

    Raises:
        WorkspaceError: there is none; the message says in what the experiment differs.
    """
    for run in list_runs(project, name):
        stored = load_resolved(project, name, run.folder / "manifest.resolved.yaml")
        if not run.is_given and not describe_differences(stored, run, copy):
            return run
    plan = plan_run(project, load_manifest(project, name, library=True))
    if differences := describe_differences(plan.manifest, plan.run, copy):
        raise WorkspaceError(say_foreign(copy.folder, f"{name}@{plan.run.digest}", {copy.folder: differences}))
    return open_run(plan).run


def finish_join(project: Project, run: Run, emit: Emit) -> RunResult:
    """Merge what is there by now, and score it by today's wishes."""
    if not run.done:
        return RunResult(run.digest, run.folder, False, None)
    plan = plan_finished(project, f"{run.experiment}@{run.digest}", emit, partial=True)
    complete_views(plan, emit)
    scores = merge_run(plan)
    report_run(plan)
    return RunResult(run.digest, run.folder, plan.run.complete, scores)
