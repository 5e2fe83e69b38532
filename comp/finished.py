"""A finished run, opened again: its own manifest with today's wishes for what does not change weights.

Today's manifest decides metric (where it selects no epoch), also, tta, submission and leaderboard; everything that trains
stays as the run resolved it, whatever has been edited since.
"""

from __future__ import annotations

import json

import pandas as pd

from comp.api import Tables
from comp.blend import hash_members
from comp.changes import list_changes, say_few, tell_changed_parents
from comp.competition import Competition, hash_tables, open_competition
from comp.digest import list_specs
from comp.errors import CompError, ManifestError, WorkspaceError
from comp.events import Emit, Notice
from comp.fixes import FILE, hash_fixes
from comp.folds import Folds
from comp.imported import hash_imported
from comp.lineage import read_task
from comp.manifest import Manifest, load_manifest, load_resolved
from comp.plan import RunPlan
from comp.project import Project, hash_file
from comp.runs import Run, find_run

TODAY = ("about", "also", "aggregate", "tta", "post", "submission", "leaderboard")


def plan_finished(project: Project, reference: str, emit: Emit, partial: bool = False) -> RunPlan:
    """The plan of a stored run.

    Raises:
        WorkspaceError: there is no such run, or (without `partial`) none that is complete.
    """
    run, manifest = open_finished(project, reference, emit, partial)
    competition = open_competition(project, manifest, demand_images=False)
    if run.state["contents"].get("tables") not in (None, hash_tables(competition.tables)):
        emit(
            Notice(
                f"the training tables have changed since run {run.digest}; its predictions are scored against today's", "warning"
            )
        )
    if not run.is_given and run.state["contents"].get("fixes") != hash_fixes(project.root):
        again = f"`comp run {run.experiment}` trains by it"
        emit(Notice(f"{FILE} is another than run {run.digest} was trained with; {again}", "warning"))
    return RunPlan(project, manifest, competition, read_run_folds(run), run)


def plan_restored(project: Project, reference: str, emit: Emit) -> RunPlan:
    """The same for predictions from checkpoints alone: no table is read, and there are no training rows in it.

    Raises:
        WorkspaceError: there is no complete run; or it is a blend, which has no weights.
    """
    run, manifest = open_finished(project, reference, emit)
    if run.is_imported:
        raise WorkspaceError(f"{run.experiment} was imported, without the weights that `comp predict` needs.")
    if run.is_blend:
        members = ", ".join((run.scores() or {}).get("members", {}).values())
        raise WorkspaceError(f"{run.experiment} is a blend and has no weights of its own; `comp predict` its members: {members}.")
    form = run.state["form"]
    rows = pd.DataFrame({"row_id": [], "id": [], "image": []}, dtype=object)
    columns = tuple(column for target in read_task(run).targets if target.scored for column in target.columns)
    own = {"columns": tuple(form.get("columns", ())), "facts": form.get("facts", {}), "views": form.get("views", 1)}
    tables = Tables(rows, None, None, form["id_column"], columns, (), project.root, **own)
    return RunPlan(
        project, manifest, Competition(project.root, tables, read_task(run), project.root.name), read_run_folds(run), run
    )


def open_finished(project: Project, reference: str, emit: Emit, partial: bool = False) -> tuple[Run, Manifest]:
    """A run, and its manifest with today's wishes."""
    run = find_run(project, reference, partial)
    stored = load_resolved(project, run.experiment, run.folder / "manifest.resolved.yaml")
    return run, overlay_today(project, run, stored, emit)


def read_run_folds(run: Run) -> Folds:
    file = run.folder / "folds.csv"
    table = pd.read_csv(file, dtype={"id": str, "fold": int, "repeat": int}, na_filter=False)
    return Folds(table, file, hash_file(file))


def overlay_today(project: Project, run: Run, stored: Manifest, emit: Emit) -> Manifest:
    try:
        today = load_manifest(project, run.experiment)
    except ManifestError as error:
        emit(
            Notice(
                f"the manifest of {run.experiment} has faults now; going by what run {run.digest} resolved to\n{error}", "warning"
            )
        )
        return stored
    tell_changed_parents(today, emit)
    for text in describe_moves(project, run, stored, today):
        emit(Notice(text, "warning"))
    wishes = TODAY if stored.selects_epoch() or run.is_blend else (*TODAY, "metric")
    return today.with_values({**stored.values, **{key: today.values[key] for key in wishes}})


def describe_moves(project: Project, run: Run, stored: Manifest, today: Manifest) -> list[str]:
    """How what the manifest means by now differs from what the run was made of: keys, code, a blend's members."""
    name, digest = run.experiment, run.digest
    ways = f"`comp run {name}` makes the new one; {name}@DIGEST names another"
    changes = list_changed_keys(stored, today)
    if changes:
        return [f"run {digest} is not what the manifest of {name} says now: {say_few(changes)} ({ways})"]
    hashes = today.plugin_hashes()
    trained_by = today.catalog.source_hashes(list_specs(today.relevant()))
    edited = [plugin for plugin, code in run.state["plugins"].items() if plugin in trained_by and hashes.get(plugin) != code]
    if edited:
        return [f"the code of {', '.join(edited)} has changed since run {digest} ({ways})"]
    changed = describe_given(project, run, today)
    return [f"{changed} ({ways})"] if changed else []


def list_changed_keys(stored: Manifest, today: Manifest) -> list[str]:
    """`train.epochs was 3 and is 5`, of the keys that change weights."""
    return list_changes(json.loads(json.dumps(stored.relevant())), json.loads(json.dumps(today.relevant())))


def describe_given(project: Project, run: Run, today: Manifest) -> str:
    """How what a blend or an import was made of has changed since; nothing where it has not, or where the run was trained."""
    name, digest = run.experiment, run.digest
    try:
        if run.is_imported and hash_imported(today) != run.state["contents"]:
            return f"the files that {name} was imported from have changed since run {digest}"
        if run.is_blend and hash_members(project, today) != run.state["contents"]:
            return f"members of {name} have other predictions than when run {digest} blended them"
    except CompError as error:
        return f"what {name} was made from cannot be read any more: {error}"
    return ""
