"""Running a blend: members' stored predictions become an experiment's OOF, test predictions and scores. Nothing is trained."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from comp.api import Blend, Task
from comp.blends import (
    Aligned,
    Blended,
    Member,
    align_members,
    answer_rows,
    blend_members,
    correlate_members,
    drop_members,
)
from comp.competition import Competition, encode_targets, open_competition, unit_table
from comp.errors import PredictionsError
from comp.events import Emit, Notice
from comp.given import Given, RunResult, given_folder, write_given
from comp.judges import TaskJudge
from comp.manifest import Manifest, load_manifest
from comp.members import HELD_BYTES, open_shelf
from comp.new import create_experiment, remove_on_failure
from comp.parquet import measure_table
from comp.predictions import demand_same_task, read_predictions
from comp.project import Project, hash_file
from comp.runs import Run, find_run
from comp.scores import build_metrics, score_rows
from comp.stores.ahead import read_ahead

READERS = 2


@dataclass(frozen=True)
class Gathered:
    """A blend's members, aligned. `build`: makes a fresh rule; `judge`: the deciding metric."""

    runs: dict[str, Run]
    aligned: Aligned
    build: Callable[[], Blend]
    judge: TaskJudge


def gather_members(project: Project, manifest: Manifest, competition: Competition) -> Gathered:
    """Find the members, read and align them.

    Raises:
        WorkspaceError: a member has no complete run.
        PredictionsError: members of other ids or targets; the message shows the difference.
    """
    runs = find_members(project, manifest)
    sizes = {name: measure_member(run) for name, run in runs.items()}
    task, spec, catalog = competition.task, manifest.values["blend"], manifest.catalog
    judge = TaskJudge(task, build_metrics(catalog, manifest.values["metric"], task))
    tasks = {name: task for name, (task, _) in sizes.items()}

    def build() -> Blend:
        return catalog.build("blend", spec, task=task, score=judge, members=tasks)

    if not getattr(build(), "any_targets", False):
        for name, other in tasks.items():
            demand_same_task(other, task, f"{name} (against the competition)")
    too_large = sum(size for _, size in sizes.values()) > HELD_BYTES
    shelf = (lambda: open_shelf(project.cache)) if too_large else None
    with ThreadPoolExecutor(1) as reader:
        read = read_ahead(lambda named: read_member(*named), runs.items(), reader, 1)
        return Gathered(runs, align_members(read, shelf), build, judge)


def run_blend(project: Project, manifest: Manifest, emit: Emit) -> RunResult:
    """Blend the members that the manifest names and score the result.

    The digest covers the rule and the members' prediction files, so that a member that is trained again makes another run.

    Raises:
        WorkspaceError: a member has no complete run.
        PredictionsError: members of other ids or targets; the message shows the difference.
    """
    started = time.monotonic()
    competition = open_competition(project, manifest, demand_images=False)
    found = gather_members(project, manifest, competition)
    emit(Notice(f"members: {', '.join(name_members(found.runs).values())}"))
    for text in found.aligned.warnings:
        emit(Notice(text, "warning"))
    units = unit_table(competition.tables)
    answers = answer_rows(found.aligned, units["id"].to_numpy(dtype=object), encode_targets(competition.task, units))
    blended = blend_members(found.build, found.aligned, competition.task, answers)
    contents = hash_members(project, manifest)
    folder = given_folder(project, manifest, contents)
    if (folder / "scores.json").exists():
        emit(Notice(f"run {folder.name} blends these predictions already"))
    facts = {"members": name_members(found.runs), "blend": describe_blend(manifest, found, blended, answers)}
    return write_given(project, manifest, competition, Given("blend", contents, blended.oof, blended.test, facts), started, emit)


def make_blend(
    project: Project, name: str | None, use: str, members: Sequence[str], sets: Sequence[str], emit: Emit
) -> tuple[Manifest, RunResult]:
    """A new experiment whose manifest blends these members (`exp041`, `exp041@DIGEST`), run. On an error nothing stays behind.

    Args:
        name: None takes the next free `expNNN`.
        sets: `key=value` texts, written into the manifest.

    Raises:
        WorkspaceError: a bad name, or one that exists; a member that does not exist, or has no complete run.
        ManifestError: there is no such rule, or it needs arguments.
    """
    blend = f"blend={{use: {json.dumps(use)}, members: {json.dumps(list(members))}}}"
    folder = create_experiment(project, name, sets=[blend, *sets])
    with remove_on_failure(folder):
        manifest = load_manifest(project, folder.name)
        return manifest, run_blend(project, manifest, emit)


def describe_blend(manifest: Manifest, found: Gathered, blended: Blended, answers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What scores.json says about the members.

    Returns:
        {"rule", "scores": member -> its own pooled score before post, "weights": member -> share in the rule that predicts
        the test (null: the rule has none), "drop_one": member -> what the score loses without it, positive where it helps,
        "correlation": member -> member -> of their OOF}. Members of other targets have neither scores nor the last two.
    """
    aligned, judge = found.aligned, found.judge
    return {
        "rule": manifest.values["blend"]["use"],
        "scores": {
            name: score_rows(judge.task, "score", judge.metrics, answers, values).get("score")
            for name, values in aligned.oof.items()
            if aligned.tasks[name] == judge.task
        },
        "weights": blended.weights,
        "drop_one": drop_members(found.build, aligned, answers, judge, blended.unused),
        "correlation": correlate_members(aligned),
    }


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
    files = {
        f"{name}/{file}": run.folder / file
        for name, run in find_members(project, manifest).items()
        for file in ("oof.parquet", "test.parquet")
        if (run.folder / file).exists()
    }
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(files, pool.map(hash_file, files.values()), strict=True))


def measure_member(run: Run) -> tuple[Task, int]:
    """What a member predicts, and how many bytes its OOF and test predictions take in memory."""
    files = [run.folder / "oof.parquet", run.folder / "test.parquet"]
    found = [measure_table(file, "oof", "test") for file in files if file.exists() or file is files[0]]
    return found[0][0], sum(rows * task.outputs * 8 for task, rows in found)


def read_member(name: str, run: Run) -> Member:
    test = run.folder / "test.parquet"
    oof = read_predictions(run.folder / "oof.parquet")
    if not len(oof.ids):
        raise PredictionsError(f"{name}@{run.digest} has no OOF predictions; `comp run {name}` makes them.")
    return Member(name, oof, read_predictions(test) if test.exists() else None)
