"""`comp tune`: a search over what a manifest's `search:` varies, each trial a run of its own.

Which search a call belongs to is comp.tuning.wishes's to find, which values are tried Ray Tune's (comp.tuning.tuner), what a
trial does comp.tuning.trainable's. This module has the trials run, and says what came of them.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from comp.errors import RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Event, EventLog, Notice, RunStopped, SearchFinished
from comp.merge import score_fold
from comp.plan import plan_run
from comp.project import Project
from comp.run import run_experiment
from comp.scale.cluster import Cluster, connect, throttle
from comp.search import to_sets
from comp.stopping import Stop, catch_stop
from comp.trials import Search, TrialRecord, write_search, write_trial
from comp.tuning.logbook import Logbook, tell_earlier
from comp.tuning.trainable import TrialOrder
from comp.tuning.tuner import WORKER, Plan, Share, fit
from comp.tuning.wishes import (
    Opened,
    Wishes,
    begin_search,
    count_left,
    describe_search,
    describe_trial,
    list_others,
    plan_trials,
    try_manifest,
)

SCRATCH = ".tune-"


@dataclass(frozen=True)
class SearchResult:
    """How a search stands.

    Attributes:
        folder: of the search.
        complete: all trials have ended.
        trials: state -> how many.
        best: the best trial's name; "" where none was trained to its end.
        score: on the folds that chose it, which flatters.
        confirmed: on the others; None where it was not asked for.
    """

    experiment: str
    digest: str
    folder: Path
    complete: bool
    trials: dict[str, int]
    best: str
    score: float | None
    confirmed: float | None
    values: dict[str, Any] = field(default_factory=dict)


def tune_experiment(project: Project, name: str, wishes: Wishes, emit: Emit) -> SearchResult:
    """Go on with the search of this manifest, or begin it.

    Raises:
        ManifestError, DataError, WorkspaceError: nothing was run.
        RunInterrupted: Ctrl-C or a scheduler's signal; everything is saved.
        RunError: ten trials failed one after another.
    """
    opened = begin_search(project, name, wishes)
    log = EventLog(opened.search.folder / "events.jsonl")

    def tell(event: Event) -> None:
        log(event)
        emit(event)

    started = time.monotonic()
    with claim_search(opened.search), catch_stop() as stop:
        plan = plan_trials(opened)
        opened = replace(opened, search=write_search(opened.search, len(plan.ended) + plan.new))
        tell(describe_search(opened, plan))
        tell_earlier(plan.ended, emit)
        try:
            if plan.new > 0:
                run_trials(opened, plan, throttle(tell), stop)
            best = opened.search.best()
            confirmed = confirm_trial(opened, best, emit) if wishes.confirm and best else None
            complete = count_left(opened, plan) <= 0
            name_score = (best.trial, best.score) if best else ("", None)
            tell(SearchFinished(complete, *name_score, confirmed, time.monotonic() - started))
        except RunInterrupted as error:
            said = f"interrupted; everything is saved: `{wishes.command(name)}` goes on."
            tell(RunStopped(said))
            raise RunInterrupted(said) from error
        except RunError as error:
            tell(RunStopped(str(error)))
            raise
        finally:
            report_search(opened)
    return conclude(opened.search, complete, confirmed)


@contextmanager
def claim_search(search: Search) -> Iterator[None]:
    """One call at a time; what a killed one left of Tune's files goes.

    Raises:
        WorkspaceError: another process has it.
    """
    lock = FileLock(search.folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise WorkspaceError(f"another `comp tune` runs this search ({search.experiment}, {search.digest}).") from error
    try:
        for left in search.folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


# ---- trials --------------------------------------------------------------------------------------------------------------


def run_trials(opened: Opened, plan: Plan, tell: Emit, stop: Stop) -> None:
    """Raises RunInterrupted: somebody asked for the end; RunError: the search cannot go on."""
    search, folder = opened.search, opened.search.folder
    begun = [record for record in search.trials() if record.state == "running"]
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder, ignore_cleanup_errors=True) as scratch:
        logbook = Logbook(search, lambda drawn: describe_trial(opened, drawn), tell, stop, Path(scratch) / "stop", begun)
        only = tuple(int(fold) for fold in search.folds)
        order = TrialOrder(
            str(opened.project.root), search.experiment, tuple(opened.sets), only, str(folder), str(logbook.stop_file)
        )
        with connect(opened.wishes.address, tell, runtime_env={"env_vars": WORKER}) as cluster:
            fit(plan, order, share_cluster(opened, cluster, tell), logbook, Path(scratch))
    if logbook.bug:
        raise logbook.bug
    if logbook.broken:
        raise RunError(f"{logbook.broken}\nThe search has ended; what its trials have trained is kept.")
    if stop():
        raise RunInterrupted("stopped between two trials")


def share_cluster(opened: Opened, cluster: Cluster, tell: Emit) -> Share:
    """Raises WorkspaceError: no node has as much as a trial asks for."""
    wishes, train = opened.wishes, opened.manifest.values["train"]
    cpu = wishes.cpu if wishes.cpu is not None else float(opened.threads * train["devices"])
    gpu = wishes.gpu if wishes.gpu is not None else float(train["devices"] if cluster.gpus >= 1 else 0)
    cluster.demand(cpu, gpu, f"a trial of {opened.manifest.name}")
    if train["threads"] == "auto" and not gpu:
        threads = "1 thread" if opened.threads == 1 else f"{opened.threads} threads"
        tell(Notice(f"train.threads: auto is {threads} for each trial here, by the CPUs that it gets of the cluster"))
    return Share(cpu, gpu)


# ---- afterwards ----------------------------------------------------------------------------------------------------------


def confirm_trial(opened: Opened, best: TrialRecord, emit: Emit) -> float | None:
    """Train the trial's other folds; returns the mean of their scores."""
    others = list_others(opened.plan, opened.search.folds)
    emit(Notice(f"{best.trial} is trained on the folds that did not choose it: {', '.join(others)}"))

    varied, only = to_sets(best.values), [int(fold) for fold in others]
    sets = [*opened.sets, *varied]
    run_experiment(opened.project, opened.manifest.name, sets=sets, only=only, place="trials", emit=emit)
    plan = plan_run(opened.project, try_manifest(opened, varied), "trials")
    confirmed = float(np.mean([score_fold(plan, fold) for fold in others]))
    write_trial(opened.search.folder, replace(best, confirmed=confirmed))
    return confirmed


def report_search(opened: Opened) -> None:
    """Write report.html."""
    from comp.report.search_html import write_search_report

    search = opened.search
    confirm = replace(opened.wishes, confirm=True).command(search.experiment) if list_others(opened.plan, search.folds) else ""
    write_search_report(search.folder, search.state, [asdict(record) for record in search.trials()], confirm)


def conclude(search: Search, complete: bool, confirmed: float | None) -> SearchResult:
    records, best = search.trials(), search.best()
    states = {state: sum(record.state == state for record in records) for state in ("done", "pruned", "failed", "running")}
    return SearchResult(
        search.experiment,
        search.digest,
        search.folder,
        complete,
        states,
        best.trial if best else "",
        best.score if best else None,
        confirmed,
        best.values if best else {},
    )
