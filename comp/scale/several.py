"""The experiments of one `comp run`: one after another in this process, or their folds side by side on several devices."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from comp.errors import CompError, RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Notice
from comp.given import RunResult
from comp.manifest import load_manifest
from comp.project import Project
from comp.run import Wishes, run_experiment
from comp.scale.relay import label
from comp.scale.room import PerGpu
from comp.scale.side_by_side import run_side_by_side
from comp.stopping import Stop
from comp.train import Train


def run_several(
    project: Project,
    names: Sequence[str],
    devices: Sequence[str] = (),
    *,
    per_gpu: PerGpu = None,
    train: Train | None = None,
    emit: Emit,
    **wishes: Any,
) -> dict[str, RunResult]:
    """Run these experiments. One that fails does not keep the others from their turn; where time is up, some have no result.

    Args:
        devices: numbers of GPUs, and `cpu`: that folds are trained on side by side; none: one fold after another.
        per_gpu: how many on each GPU at a time; `auto`: as many as its memory holds; None: one.
        train: who trains the folds of each, where that is not this machine's business.
        wishes: those of comp.run.Wishes.

    Raises:
        ManifestError, WorkspaceError: of any experiment; nothing was run.
        RunInterrupted: Ctrl-C or a scheduler's signal; everything is saved.
        CompError: what one of them failed of, or a list where several did.
    """
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise WorkspaceError(f"{', '.join(twice)}: named twice.")
    if len(names) > 1:
        wishes |= {"names": tuple(names), "began": time.monotonic()}
    if not devices and len(names) == 1:
        return {names[0]: run_experiment(project, names[0], train=train, emit=emit, **wishes)}
    if devices:
        outcomes = run_side_by_side(project, names, devices, Wishes(**wishes), emit, per_gpu)
    else:
        outcomes = run_in_turn(project, names, train, emit, wishes)
    raise_failures(outcomes, names)
    return {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, RunResult)}


def run_in_turn(
    project: Project, names: Sequence[str], train: Train | None, emit: Emit, wishes: Mapping[str, Any]
) -> dict[str, RunResult | Exception]:
    """One experiment after another, as long as there is time."""
    wished = Wishes(**wishes)
    for name in names:  # a fault of the last is said before the hours of the first
        load_manifest(project, name, wished.sets, wished.folds, library=True)
    outcomes: dict[str, RunResult | Exception] = {}
    for name in names:
        if Stop(deadline=wished.deadline)():
            break
        tell = label(emit, name)
        try:
            outcomes[name] = run_experiment(project, name, train=train, emit=tell, **wishes)
        except RunInterrupted:
            raise
        except CompError as error:
            outcomes[name] = error
            tell(Notice(f"failed, and the others go on: {error}", "warning"))
    return outcomes


def raise_failures(outcomes: Mapping[str, RunResult | Exception], names: Sequence[str]) -> None:
    """Raises: what the only experiment failed of, or one error for all that did; what is comp's own fault before all."""
    failures = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Exception)}
    if not failures:
        return
    for error in failures.values():
        if len(names) == 1 or not isinstance(error, CompError):
            raise error
    lines = [f"{name}: {error}" for name, error in failures.items()]
    kind = RunError if any(isinstance(error, RunError) for error in failures.values()) else CompError
    raise kind("\n".join([*lines, f"{len(failures)} of {len(names)} experiments failed; the others are done."]))
