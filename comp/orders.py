"""Orders: one fold of a run as plain data that another process, perhaps on another machine, can be given.

Who is given one opens the workspace, the tables and the images anew, from what the run has resolved to: an edit made meanwhile
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from comp.errors import WorkspaceError
from comp.manifest import load_resolved
from comp.plan import Place, RunPlan, plan_run, reopen_run
from comp.project import Project


@dataclass(frozen=True)
class Order:
    """One fold to be trained.

    Attributes:
        root: the workspace, as a path.
        name, digest, place: the run, which has been opened (comp.plan.open_run).
        fold: "0", "1", ... or "full".
        profile: whether it measures where its time goes.
    """

    root: str
    name: str
    digest: str
    place: Place
    fold: str
    profile: bool = False


def make_order(plan: RunPlan, fold: str) -> Order:
    return Order(str(plan.project.root), plan.manifest.name, plan.run.digest, plan.place, fold, plan.profile)


def open_order(order: Order) -> RunPlan:
    """The plan of the order's run.

    Raises:
        WorkspaceError: the workspace is not there, or holds other tables, folds or code than when the run was opened.
    """
    project = Project(Path(order.root))
    folder = project.experiments / order.name / order.place / order.digest
    if not (folder / "environment.json").is_file():
        raise WorkspaceError(f"{folder} is not there: whoever trains fold {order.fold} needs the workspace {order.root}.")
    manifest = load_resolved(project, order.name, folder / "manifest.resolved.yaml")
    plan = plan_run(project, manifest, order.place)
    if plan.run.digest != order.digest:
        raise WorkspaceError(
            f"{order.root} holds other tables, folds or plugin code than run {order.digest} was opened with (they make "
            f"{plan.run.digest}); start it again."
        )
    return replace(reopen_run(plan), profile=order.profile)
