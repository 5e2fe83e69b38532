"""Tuning: which search a call of `comp tune` belongs to, and what of it is still to be done.

Nothing runs here: the trials are comp.tuning.tuner's, and what becomes of them comp.tuning.tune's.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from comp.domains import list_extremes
from comp.errors import CompError, WorkspaceError
from comp.events import SearchStarted
from comp.manifest import Manifest, load_manifest
from comp.plan import RunPlan, plan_run
from comp.points import work_out
from comp.project import Project, hash_json
from comp.run import choose_folds
from comp.search import Drawn, Space, demand_space, describe, open_space, to_sets
from comp.trials import Search, TrialRecord, open_search
from comp.tuning.tuner import Plan, import_tune


@dataclass(frozen=True)
class Wishes:
    """What a call asks for besides what the manifest says.

    Attributes:
        trials: how many in all; None: as `search.trials` says, and of a grid all.
        only: numbers of the folds that each trial trains; None: all.
        cpu, gpu: of one trial; None: as many CPUs as train.threads, or one; one GPU where there are any.
        address: of a cluster; None: one is started here.
        confirm: train the best trial's other folds, too.
    """

    sets: Sequence[str] = ()
    trials: int | None = None
    only: Sequence[int] | None = (0,)
    cpu: float | None = None
    gpu: float | None = None
    address: str | None = None
    confirm: bool = False

    def command(self, name: str) -> str:
        """What goes on where a search stopped."""
        words = ["comp tune", name, *(f"--set {shlex.quote(text)}" for text in self.sets)]
        words += [f"--trials {self.trials}"] if self.trials is not None else []
        words += [] if self.only == (0,) else [f"--only {'all' if self.only is None else ','.join(map(str, self.only))}"]
        share = [f"{key}={value:g}" for key, value in (("gpu", self.gpu), ("cpu", self.cpu)) if value is not None]
        words += [f"--per-trial {','.join(share)}"] if share else []
        words += [f"--address {self.address}"] if self.address else []
        return " ".join([*words, *(["--confirm"] if self.confirm else [])])


@dataclass(frozen=True)
class Opened:
    """A search that is about to go on.

    Attributes:
        manifest: without any of what a trial varies.
        threads: of one trial, and its CPUs unless the call says otherwise.
    """

    project: Project
    manifest: Manifest
    plan: RunPlan
    space: Space
    search: Search
    wishes: Wishes
    threads: int

    @property
    def sets(self) -> list[str]:
        """Laid over the manifest before what a trial varies. Threads are stated: results depend on how many there are."""
        return [*self.wishes.sets, f"train.threads={self.threads}"]


def begin_search(project: Project, name: str, wishes: Wishes) -> Opened:
    """Check everything that can be known before the first trial, and find the search that this call belongs to."""
    import_tune()
    manifest = load_manifest(project, name, wishes.sets, library=True)
    if manifest.is_blend or manifest.is_imported:
        raise WorkspaceError(f"{name} trains nothing, so that a search has nothing to try.")
    space = open_space(manifest)
    demand_space(manifest)
    if wishes.trials is not None:
        space = replace(space, settings=replace(space.settings, trials=wishes.trials))
    plan = plan_run(project, manifest, "trials")
    folds = choose_folds(plan, wishes.only, False)
    if wishes.confirm and not list_others(plan, folds):
        what = "every fold" if plan.folds.repeats == 1 else f"every fold, or folds of several repeats ({', '.join(folds)}),"
        raise WorkspaceError(f"--confirm: {what} is trained by each trial, so that none is left to confirm the best one on.")
    greater = next(iter(plan.build_metrics().values())).greater_is_better
    contents = plan.run.state["contents"]
    search = open_search(manifest, space, contents, sets=wishes.sets, folds=folds, greater_is_better=greater)
    stated = manifest.values["train"]["threads"]
    threads = max(1, int(wishes.cpu or 1)) if stated == "auto" else int(stated)
    return Opened(project, manifest, plan, space, search, wishes, threads)


def list_others(plan: RunPlan, folds: Sequence[str]) -> list[str]:
    """The folds that hold out none of the rows that these do: the others of their repeat; none where they are of several."""
    repeats = {int(fold) // plan.folds.per_repeat for fold in folds}
    same = [fold for fold in plan.run.folds if {int(fold) // plan.folds.per_repeat} == repeats]
    return [fold for fold in same if fold not in folds]


def plan_trials(opened: Opened) -> Plan:
    records, grid = opened.search.trials(), opened.space.settings.algorithm == "grid"
    ended = [record for record in records if record.state != "running"]
    points = [record.drawn for record in records if record.state == "running"]
    total = opened.space.settings.trials
    if grid:
        points = list_untried(opened.space, points, ended)
        whole = len(ended) + len(points)
        total = whole if opened.wishes.trials is None else min(total, whole)
    new = max(0, total - len(ended))
    mode = "max" if opened.search.greater_is_better else "min"
    return Plan(opened.space, mode, count_epochs(opened), len(records), ended, points[:new], new)


def list_untried(space: Space, begun: Sequence[Drawn], ended: Sequence[TrialRecord]) -> list[dict[str, int | float]]:
    """A grid's combinations whose values no trial has had to its end, those that were begun first."""
    known = {hash_json(record.values) for record in ended}
    found = []
    for point in [*map(dict, begun), *space.grid()]:
        key = hash_json(space.settle(point))
        if key not in known:
            known.add(key)
            found.append(point)
    return found


def count_left(opened: Opened, plan: Plan) -> int:
    """How many of the trials that were wanted have not ended."""
    return len(plan.ended) + plan.new - sum(record.state != "running" for record in opened.search.trials())


def count_epochs(opened: Opened) -> int:
    """The most that a trial may train, over its folds and seeds."""
    most = base = sum_epochs(opened.manifest)
    for key, tree in opened.space.trees.items():
        if key.split(".")[0] in ("train", "stages"):
            tried = [work_out({key: value}, {}, opened.space.fixed) for _, value in list_extremes(tree)]
            most += max(0, *(sum_epochs(try_manifest(opened, to_sets(values))) - base for values in tried))
    return most * len(opened.search.folds) * len(opened.manifest.values["seeds"] or [0])


def try_manifest(opened: Opened, sets: Sequence[str]) -> Manifest:
    return load_manifest(opened.project, opened.manifest.name, [*opened.sets, *sets], library=True)


def sum_epochs(manifest: Manifest) -> int:
    return sum(stage["epochs"] for stage in manifest.stages)


def describe_search(opened: Opened, plan: Plan) -> SearchStarted:
    """The three lines: held fixed, varied, measured."""
    search, manifest, settings = opened.search, opened.manifest, opened.space.settings
    count = len(opened.plan.run.folds)
    folds = f"fold {search.folds[0]}" if len(search.folds) == 1 else f"folds {', '.join(search.folds)}"
    values = manifest.values
    seeds = f"seeds {', '.join(map(str, values['seeds']))}" if values["seeds"] else f"seed {values['seed']}"
    order = "higher" if search.greater_is_better else "lower"
    how = f"{settings.algorithm}, pruned by {settings.pruner}" if settings.pruner != "none" else settings.algorithm
    return SearchStarted(
        experiment=search.experiment,
        digest=search.digest,
        folder=str(search.folder),
        trials=len(plan.ended) + plan.new,
        folds=search.folds,
        epochs=plan.epochs,
        metric=search.metric,
        greater_is_better=search.greater_is_better,
        fixed=f"all else that {search.experiment} says: {values['dataset']['use']}, {count} folds, {seeds}",
        varied=f"{describe(opened.space)} ({how})",
        measured=f"{search.metric} on the held-out rows of {folds} (of {count}), {order} is better",
        about=values["about"] or "",
    )


def describe_trial(opened: Opened, drawn: Drawn) -> tuple[dict[str, Any], str]:
    """What a trial varies, and the digest of its run: "" of values that the manifest refuses, which the trial says itself.

    Raises:
        WorkspaceError: the manifest was edited while the search ran.
    """
    demand_unchanged(opened)
    values: dict[str, Any] = {}
    try:
        values = opened.space.settle(drawn)
        return values, plan_run(opened.project, try_manifest(opened, to_sets(values)), "trials").run.digest
    except CompError:
        return values, ""


def demand_unchanged(opened: Opened) -> None:
    """Raises WorkspaceError: the manifest is another than the one that the search began with."""
    name, before = opened.manifest.name, opened.manifest
    try:
        now = try_manifest(opened, [])
        same = now.relevant() == before.relevant() and all(now.values[key] == before.values[key] for key in ("search", "metric"))
    except CompError:
        same = False
    if not same:
        raise WorkspaceError(f"the manifest of {name} has changed since the search began; `comp tune {name}` goes by it.")
