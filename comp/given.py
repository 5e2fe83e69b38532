"""Given: a run of predictions that are at hand, blended or imported, rather than trained. Its folder looks like any other's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comp.competition import Competition, encode_targets, unit_table
from comp.events import Emit, EventLog, RunFinished
from comp.folds import Folds
from comp.formats import read_record
from comp.manifest import Manifest
from comp.merge import score_oof, write_posted
from comp.plan import RunPlan, describe_environment
from comp.predictions import Predictions, write_predictions
from comp.project import Project, atomic_write, hash_file
from comp.report.html import write_report
from comp.runs import FORMAT, Run
from comp.shown import look_at_files, show_run


@dataclass(frozen=True)
class RunResult:
    """What `comp run` ends with. `scores`: what scores.json holds, None before the first fold is done."""

    digest: str
    folder: Path
    complete: bool
    scores: dict[str, Any] | None


@dataclass(frozen=True)
class Given:
    """What a run is made of, instead of training.

    Attributes:
        kind: how environment.json marks it: `blend` or `imported`.
        contents: what its digest covers: name -> SHA-256.
        test: None where there are no test predictions.
        facts: what scores.json says besides the scores.
    """

    kind: str
    contents: Mapping[str, str]
    oof: Predictions
    test: Predictions | None
    facts: Mapping[str, Any]


def given_folder(project: Project, manifest: Manifest, contents: Mapping[str, str]) -> Path:
    return project.experiment(manifest.name) / "runs" / manifest.digest(contents)


def write_given(
    project: Project, manifest: Manifest, competition: Competition, given: Given, started: float, emit: Emit
) -> RunResult:
    """Write the run's folder whole: predictions, scores, report. Made again, it keeps its age.

    Args:
        started: time.monotonic() when it began.
    """
    folder = given_folder(project, manifest, given.contents)
    plan = open_given(project, manifest, competition, given, folder)
    record, posted = score_oof(plan, given.oof, plan.run.folds)
    record |= {**given.facts, "elapsed_s": round(time.monotonic() - started, 3)}
    write_predictions(folder / "oof.parquet", given.oof)
    write_posted(plan, posted)
    if given.test is not None:
        write_predictions(folder / "test.parquet", given.test)
    atomic_write(folder / "scores.json", json.dumps(record, indent=2))
    finished = RunFinished(True, record, time.monotonic() - started, manifest.name)
    EventLog(folder / "events.jsonl")(finished)
    emit(finished)
    units = unit_table(competition.tables)
    shown = show_run(plan, look_at_files(competition.tables))
    write_report(folder, units["id"].to_numpy(dtype=object), encode_targets(competition.task, units), shown)
    return RunResult(folder.name, folder, True, record)


def open_given(project: Project, manifest: Manifest, competition: Competition, given: Given, folder: Path) -> RunPlan:
    """What the run states about itself."""
    fold = given.oof.fold
    folds = [str(number) for number in sorted(set(fold.tolist()))]
    table = pd.DataFrame({"id": given.oof.ids, "fold": fold})
    atomic_write(folder / "manifest.resolved.yaml", manifest.dump())
    atomic_write(folder / "folds.csv", table.to_csv(index=False, lineterminator="\n"))
    file = folder / "environment.json"
    if not file.exists():
        state = {
            **describe_environment(project, manifest),
            "folds": folds,
            "contents": dict(given.contents),
            given.kind: True,
        }
        atomic_write(file, json.dumps(state, indent=2, ensure_ascii=False))
    state = read_record(file, FORMAT)
    stored = Folds(table, folder / "folds.csv", hash_file(folder / "folds.csv"))
    return RunPlan(project, manifest, competition, stored, Run(manifest.name, folder.name, folder, state))
