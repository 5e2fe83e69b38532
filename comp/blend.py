"""Running a blend: members' stored predictions become an experiment's OOF, test predictions and scores. Nothing is trained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from comp.blends import Aligned, Member, align_members, blend_members
from comp.competition import encode_targets, open_competition, unit_table
from comp.errors import PredictionsError
from comp.events import Emit, EventLog, Notice, RunFinished
from comp.manifest import Manifest
from comp.plan import describe_environment
from comp.predictions import demand_same_task, read_predictions, write_predictions
from comp.project import Project, atomic_write, hash_file
from comp.report.html import write_report
from comp.runs import Run, find_run
from comp.scores import build_all_metrics, score_predictions


@dataclass(frozen=True)
class RunResult:
    """What `comp run` ends with. `scores`: what scores.json holds, None before the first fold is done."""

    digest: str
    folder: Path
    complete: bool
    scores: dict[str, Any] | None


def run_blend(project: Project, manifest: Manifest, emit: Emit) -> RunResult:
    """Blend the members that the manifest names and score the result.

    The digest covers the rule and the members' prediction files, so that a member that is trained again makes another run.

    Raises:
        WorkspaceError: a member has no complete run.
        PredictionsError: members of other ids or targets; the message shows the difference.
    """
    started = time.monotonic()
    competition = open_competition(project, manifest)
    runs = find_members(project, manifest)
    aligned = align_members([read_member(name, run) for name, run in runs.items()])
    demand_same_task(aligned.task, competition.task, "the members (against the competition)")
    emit(Notice(f"members: {', '.join(name_members(runs).values())}"))
    for text in aligned.warnings:
        emit(Notice(text, "warning"))
    units = unit_table(competition.tables)
    targets = encode_targets(competition.task, units)
    ids = units["id"].to_numpy(dtype=object)

    def build() -> Any:
        return manifest.catalog.build("blend", manifest.values["blend"], task=competition.task)

    oof, test = blend_members(build, aligned, ids, targets)
    folder = project.experiment(manifest.name) / "runs" / manifest.digest(hash_members(project, manifest))
    if (folder / "scores.json").exists():
        emit(Notice(f"run {folder.name} blends these predictions already"))
    open_folder(project, manifest, folder, aligned)
    metrics = build_all_metrics(manifest.catalog, [manifest.values["metric"], *manifest.values["also"]], competition.task)
    folds = [str(fold) for fold in sorted(set(aligned.fold.tolist()))]
    record = {
        **score_predictions(oof, ids, targets, metrics).to_record(),
        "experiment": manifest.name,
        "digest": folder.name,
        "folds": folds,
        "folds_done": folds,
        "complete": True,
        "members": name_members(runs),
        "elapsed_s": round(time.monotonic() - started, 3),
    }
    write_predictions(folder / "oof.parquet", oof)
    if test is not None:
        write_predictions(folder / "test.parquet", test)
    atomic_write(folder / "scores.json", json.dumps(record, indent=2))
    finished = RunFinished(True, record, time.monotonic() - started)
    EventLog(folder / "events.jsonl")(finished)
    emit(finished)
    write_report(folder, ids, targets)
    return RunResult(folder.name, folder, True, record)


def find_members(project: Project, manifest: Manifest) -> dict[str, Run]:
    """The run that each member means.

    Raises:
        WorkspaceError: it has no complete one.
    """
    members = manifest.values["blend"]["members"]
    named = members if isinstance(members, dict) else {name: name for name in members}
    return {name: find_run(project, reference) for name, reference in named.items()}


def name_members(runs: Mapping[str, Run]) -> dict[str, str]:
    return {name: f"{run.experiment}@{run.digest}" for name, run in runs.items()}


def hash_members(project: Project, manifest: Manifest) -> dict[str, str]:
    """`member/oof.parquet` -> SHA-256, of all prediction files that a blend is made of."""
    return {
        f"{name}/{file}": hash_file(run.folder / file)
        for name, run in find_members(project, manifest).items()
        for file in ("oof.parquet", "test.parquet")
        if (run.folder / file).exists()
    }


def read_member(name: str, run: Run) -> Member:
    test = run.folder / "test.parquet"
    oof = read_predictions(run.folder / "oof.parquet")
    if not len(oof.ids):
        raise PredictionsError(f"{name}@{run.digest} has no OOF predictions; `comp run {name}` makes them.")
    return Member(name, oof, read_predictions(test) if test.exists() else None)


def open_folder(project: Project, manifest: Manifest, folder: Path, aligned: Aligned) -> None:
    """What a blend's run states about itself; blended again, it keeps its age."""
    folds = [str(fold) for fold in sorted(set(aligned.fold.tolist()))]
    table = pd.DataFrame({"id": aligned.ids, "fold": aligned.fold})
    atomic_write(folder / "manifest.resolved.yaml", manifest.dump())
    atomic_write(folder / "folds.csv", table.to_csv(index=False, lineterminator="\n"))
    file = folder / "environment.json"
    if not file.exists():
        state = {
            **describe_environment(project, manifest),
            "folds": folds,
            "contents": hash_members(project, manifest),
            "blend": True,
        }
        atomic_write(file, json.dumps(state, indent=2, ensure_ascii=False))
