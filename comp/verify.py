"""`comp submit --verify`: whether a submission is still what its json says, and comes out again from what it names.

Nothing is written. The file is rebuilt from the run's stored predictions, the sample and the json, and compared byte for byte;
and whatever it was made from is held against the hashes that were taken then.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from comp import __version__
from comp.changes import list_changes, say_few
from comp.competition import hash_tables, open_competition
from comp.errors import CompError, SubmissionError
from comp.finished import describe_given, list_changed_keys, read_run_folds
from comp.fixes import FILE, hash_fixes
from comp.formats import read_record
from comp.ids import name_ids
from comp.ledger import Entry, find_entry, read_ledger
from comp.manifest import Manifest, load_manifest, load_resolved
from comp.plan import RunPlan
from comp.post import strip_state
from comp.project import Project, hash_file
from comp.provenance import find_changed, hash_inputs
from comp.runs import Run, find_run
from comp.submission import FORMAT, render_frame, seal_record
from comp.submit import make_frame

Part = Literal["file", "record", "ledger", "run", "weights", "predictions", "manifest", "plugin", "tables", "sample", "rebuilt"]
WISHES = ("post", "submission", "aggregate")
NO_PART = ("logger", "leaderboard")
"""Kinds of plugins that have no part in the answers."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was. `what`: a sentence that names it."""

    part: Part
    what: str


@dataclass(frozen=True)
class Verified:
    """What a look at a submission found. `rebuilt`: whether the same bytes came out again; `digest`: of its run."""

    experiment: str
    version: str
    path: Path
    digest: str
    rebuilt: bool
    differences: list[Difference]

    @property
    def same(self) -> bool:
        return self.rebuilt and not self.differences


def verify_submission(project: Project, reference: str, version: str) -> Verified:
    """Hold a submission against what it was made from.

    Raises:
        SubmissionError: there is no such submission, or nothing that says how it was made.
        FormatError: a newer comp wrote it, or its json is damaged.
    """
    name = reference.partition("@")[0]
    project.experiment(name)
    path = project.submissions / name / f"{version}.csv"
    entry = find_row(project, name, version)
    record = read_sealed(path.with_suffix(".json"))
    if record["seal"] != seal_record(record):
        edited = Difference("record", f"{version}.json was edited, so that nothing says how {version}.csv was made")
        found = [edited, *(compare_file(path, entry.sha256, "the ledger") if entry else ())]
        return Verified(name, version, path, entry.digest if entry else "", False, found)
    found = [*compare_file(path, record["sha256"], f"{version}.json"), *compare_ledger(entry, record)]
    found += compare_sources(project, name, record, path)
    rebuilt = not any(difference.part == "rebuilt" for difference in found)
    return Verified(name, version, path, record["digest"], rebuilt, found)


# ---- the submission's own files ------------------------------------------------------------------------------------------


def find_row(project: Project, name: str, version: str) -> Entry | None:
    """A submission's row of the ledger; None where its files are there alone.

    Raises:
        SubmissionError: neither is there.
    """
    if f"{version}.json" in [file.name for file in (project.submissions / name).glob("v*.json")]:
        return next((row for row in read_ledger(project) if (row.experiment, row.version) == (name, version)), None)
    return find_entry(project, name, version)


def read_sealed(file: Path) -> dict[str, Any]:
    """vNNN.json.

    Raises:
        SubmissionError: it is not there, or of a comp that took no hashes.
        FormatError: a newer comp wrote it, or it is damaged.
    """
    if not file.is_file():
        raise SubmissionError(f"{file} is gone: nothing says how {file.stem}.csv was made")
    record = read_record(file, FORMAT)
    if "seal" not in record:
        raise SubmissionError(f"{file} holds no hashes of what it was made from (comp {record.get('comp')} took none)")
    return record


def compare_file(path: Path, sha256: str, where: str) -> Iterator[Difference]:
    if not path.is_file():
        yield Difference("file", f"{path.name} is gone")
    elif hash_file(path) != sha256:
        yield Difference("file", f"{path.name} is not what was written: its SHA-256 is another than {where} says")


def compare_ledger(entry: Entry | None, record: Mapping[str, Any]) -> Iterator[Difference]:
    if entry is None:
        yield Difference("ledger", "submissions/ledger.csv has no row for it")
        return
    for key in ("digest", "sha256", "cv"):
        if (getattr(entry, key) or None) != (record.get(key) or None):
            yield Difference("ledger", f"the ledger's {key} is {getattr(entry, key)}; the json's is {record.get(key)}")


# ---- what it was made from -----------------------------------------------------------------------------------------------


def compare_sources(project: Project, name: str, record: Mapping[str, Any], path: Path) -> list[Difference]:
    """Everything else, as far as it is still there."""
    found: list[Difference] = []
    try:
        run = find_run(project, f"{name}@{record['digest']}", partial=True)
        found += compare_files(run, record)
        plan = plan_again(project, run, record)
        found += [*compare_manifest(plan, record), *compare_plugins(plan, record), *compare_tables(plan, record)]
        return [*found, *rebuild(plan, record, path)]
    except CompError as error:
        return [*found, Difference("rebuilt", f"it cannot be made again: {error}")]


def plan_again(project: Project, run: Run, record: Mapping[str, Any]) -> RunPlan:
    """The plan that the submission was made by: what the run resolved to, with the json's wishes."""
    stored = load_resolved(project, run.experiment, run.folder / "manifest.resolved.yaml")
    wishes = {"tta": record["tta"], "post": strip_state(record["post"]), "submission": record["submission"]}
    manifest = stored.with_values({**wishes, "aggregate": record["aggregate"]})
    return RunPlan(project, manifest, open_competition(project, manifest, demand_images=False), read_run_folds(run), run)


def compare_files(run: Run, record: Mapping[str, Any]) -> Iterator[Difference]:
    for name, what in find_changed(run, record["folds"], record["files"]).items():
        part: Part = "predictions" if name.endswith(".parquet") else "weights" if "/" in name else "run"
        yield Difference(part, f"{name} of run {run.digest} {what}")


def compare_manifest(plan: RunPlan, record: Mapping[str, Any]) -> Iterator[Difference]:
    """What the experiment's manifest says by now."""
    run, stored = plan.run, plan.manifest
    try:
        today = load_manifest(plan.project, run.experiment)
    except CompError as error:
        yield Difference("manifest", f"the manifest of {run.experiment} has faults now: {error}")
        return
    wishes = WISHES if record["tta_asked"] else ("tta", *WISHES)
    changes = [
        *list_changed_keys(stored, today),
        *list_changes(*(pick(manifest, wishes) for manifest in (stored, today))),
    ]
    if changes:
        says = f"run {run.digest} is not what the manifest of {run.experiment} says now"
        yield Difference("manifest", f"{says}: {say_few(changes)}")
    if changed := describe_given(plan.project, run, today):
        yield Difference("predictions", changed)


def pick(manifest: Manifest, keys: tuple[str, ...]) -> dict[str, Any]:
    return json.loads(json.dumps({key: manifest.values[key] for key in keys}))


def compare_plugins(plan: RunPlan, record: Mapping[str, Any]) -> Iterator[Difference]:
    now = plan.manifest.plugin_hashes()
    for plugin, code in record["plugins"].items():
        if plugin.partition(".")[0] not in NO_PART and plugin in now and now[plugin] != code:
            yield Difference("plugin", f"the code of {plugin} has changed since")


def compare_tables(plan: RunPlan, record: Mapping[str, Any]) -> Iterator[Difference]:
    contents, tables = plan.run.state["contents"], plan.competition.tables
    if contents.get("tables") not in (None, hash_tables(tables)):
        yield Difference("tables", f"the training tables have changed since run {plan.run.digest}")
    if not plan.run.is_given and contents.get("fixes") != hash_fixes(plan.project.root):
        yield Difference("tables", f"{FILE} is another than run {plan.run.digest} was trained with")
    then, now = record["inputs"], hash_inputs(tables)
    if then["sample"] != now["sample"]:
        yield Difference("sample", "the sample submission has changed since")
    if then["test"] != now["test"]:
        yield Difference("tables", "the test table has other ids, or another order, than then")


def rebuild(plan: RunPlan, record: Mapping[str, Any], path: Path) -> Iterator[Difference]:
    """Make the file again; nothing where the same bytes come out."""
    data = render_frame(make_frame(plan, record["folds"], record))
    if hashlib.sha256(data).hexdigest() == record["sha256"]:
        return
    written = "" if record["comp"] == __version__ else f" (comp {record['comp']} made it; this is {__version__})"
    is_there = path.is_file() and hash_file(path) == record["sha256"]
    where = f": {compare_rows(data, path, plan.competition.tables.id_column)}" if is_there else ""
    yield Difference("rebuilt", f"made again, it is another file{where}{written}")


def compare_rows(data: bytes, path: Path, id_column: str) -> str:
    """In which rows a file made again differs from the one that was written."""
    now, then = (pd.read_csv(file, dtype=str, na_filter=False) for file in (io.BytesIO(data), path))
    if list(now.columns) != list(then.columns) or now[id_column].tolist() != then[id_column].tolist():
        return "of other columns or rows"
    return f"with other answers for {name_ids(now[id_column][(now != then).any(axis=1)].to_numpy())}"
