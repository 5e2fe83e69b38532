"""Trials: what searches of an experiment have tried, on disk, and found again by name.

A search's folder is experiments/NAME/search/DIGEST. It holds what is varied (search.json) and a line for each change of a trial
(trials.jsonl); the trial's own run lies in experiments/NAME/trials/DIGEST, where equal trials of other searches find it, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from comp.errors import WorkspaceError
from comp.formats import parse_record, read_record
from comp.manifest import Manifest
from comp.project import Project, append_line, atomic_write, hash_json, hold_lock, suggest
from comp.search import Space

FORMAT = 1
LENGTH = 8
SEARCH_FILE, TRIALS_FILE = "search.json", "trials.jsonl"

State = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial, as far as it has come.

    Attributes:
        trial: t0001, t0002, ...: counted over all searches of the experiment.
        drawn: name of a parameter -> number (comp.search.Parameter).
        values: dotted manifest key -> what it became (Space.settle).
        digest: of its run; "" where it was refused before it had one.
        state: `running` also of one that was interrupted; `failed`: `why` says what of.
        score: the mean over its folds, by the metric, of the last epoch that was trained; None where it has none.
        per_fold: fold -> score, of finished folds.
        curve: [epochs over its folds, score then] each.
        elapsed_s: training time.
        confirmed: the score on the folds that did not choose it, where somebody asked for it.
    """

    trial: str
    drawn: dict[str, int | float]
    values: dict[str, Any]
    digest: str = ""
    state: State = "running"
    score: float | None = None
    per_fold: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    epochs: int = 0
    elapsed_s: float = 0.0
    why: str = ""
    confirmed: float | None = None


@dataclass(frozen=True)
class Search:
    """One search of an experiment.

    Attributes:
        folder: experiments/NAME/search/DIGEST.
        state: search.json: format, experiment, digest, sets, folds, contents, settings, trials (how many there are to be), space,
            parameters, metric, greater_is_better, made_at, opened_at (seconds since the epoch).
    """

    experiment: str
    digest: str
    folder: Path
    state: dict[str, Any]

    @property
    def folds(self) -> list[str]:
        """Those that each trial trains."""
        return list(self.state["folds"])

    @property
    def metric(self) -> str:
        return str(self.state["metric"])

    @property
    def greater_is_better(self) -> bool:
        return bool(self.state["greater_is_better"])

    def trials(self) -> list[TrialRecord]:
        return read_trials(self.folder)

    def best(self) -> TrialRecord | None:
        return best_trial(self.trials(), self.greater_is_better)


# ---- writing -------------------------------------------------------------------------------------------------------------


def open_search(
    manifest: Manifest,
    space: Space,
    contents: Mapping[str, str],
    *,
    sets: Sequence[str],
    folds: Sequence[str],
    greater_is_better: bool,
) -> Search:
    """The search of this manifest and space with the settings of this call; whoever goes on with it writes them down.

    Args:
        contents: of the manifest's own plan, as Manifest.digest wants them (`plan.run.state["contents"]`).
        sets: what the command laid over the manifest.
        folds: that each trial trains.
    """
    digest = digest_search(manifest, space, contents, folds)
    folder = manifest.folder / "search" / digest
    file, now = folder / SEARCH_FILE, time.time()
    made_at = read_record(file, FORMAT)["made_at"] if file.exists() else now
    state = {
        "format": FORMAT,
        "experiment": manifest.name,
        "digest": digest,
        "sets": list(sets),
        "folds": list(folds),
        "contents": dict(contents),
        "settings": asdict(space.settings),
        "trials": space.settings.trials,
        "space": space.domains,
        "parameters": [asdict(parameter) for parameter in space.parameters],
        "metric": manifest.values["metric"]["use"],
        "greater_is_better": greater_is_better,
        "made_at": made_at,
        "opened_at": now,
    }
    return Search(manifest.name, digest, folder, json.loads(json.dumps(state)))


def write_search(search: Search, trials: int) -> Search:
    """Write search.json: this call works on the search, and there are to be so many trials in all (of a grid all it has).

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    search = replace(search, state={**search.state, "trials": trials})
    atomic_write(search.folder / SEARCH_FILE, json.dumps(search.state, ensure_ascii=False, indent=1) + "\n")
    return search


def digest_search(manifest: Manifest, space: Space, contents: Mapping[str, str], folds: Sequence[str]) -> str:
    """8 hex digits over what makes two searches one: data, fixed values, metric, space and folds; not how it is searched."""
    varied = {
        "base": manifest.digest(contents),
        "metric": manifest.values["metric"],
        "space": space.domains,
        "folds": list(folds),
    }
    return hash_json({"format": FORMAT, **varied})[:LENGTH]


def claim_trial(search: Search, drawn: Mapping[str, int | float], values: Mapping[str, Any], digest: str = "") -> TrialRecord:
    """A new trial with the next number of its experiment, written down as running. Two processes that ask at once get two."""
    with hold_lock(search.folder.parent / ".lock"):
        taken = [record.trial for folder in search.folder.parent.glob("*/") for record in read_trials(folder)]
        number = max((int(trial[1:]) for trial in taken), default=0) + 1
        record = TrialRecord(f"t{number:04d}", dict(drawn), dict(values), digest)
        write_trial(search.folder, record)
    return record


def write_trial(folder: Path, record: TrialRecord) -> None:
    """What a trial has come to; it takes the place of what was written of it before."""
    append_line(folder / TRIALS_FILE, json.dumps({"format": FORMAT, **asdict(record)}, ensure_ascii=False))


# ---- reading -------------------------------------------------------------------------------------------------------------


def list_searches(project: Project, name: str) -> list[Search]:
    """All searches of an experiment, the one that was last worked on first.

    Raises:
        FormatError: one was written by a newer comp.
    """
    found = []
    for file in sorted((project.experiment(name) / "search").glob(f"*/{SEARCH_FILE}")):
        found.append(Search(name, file.parent.name, file.parent, read_record(file, FORMAT)))
    return sorted(found, key=lambda search: search.state["opened_at"], reverse=True)


def read_trials(folder: Path) -> list[TrialRecord]:
    """The trials of a search's folder in the order in which they began; a line that was not written whole is left out."""
    file = folder / TRIALS_FILE
    found: dict[str, TrialRecord] = {}
    for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else ():
        state = parse_record(file, line, FORMAT)
        curve = [(int(epoch), float(score)) for epoch, score in state["curve"]]
        known = {key: value for key, value in state.items() if key != "format"}
        found[state["trial"]] = TrialRecord(**{**known, "curve": curve})
    return list(found.values())


def best_trial(trials: Sequence[TrialRecord], greater_is_better: bool) -> TrialRecord | None:
    """Of those that were trained to their end the one with the best score, of equal ones the first; None where there is none."""
    scored = [record for record in trials if record.state == "done" and record.score is not None]
    sign = 1 if greater_is_better else -1
    return max(scored, key=lambda record: sign * (record.score or 0.0), default=None)


def find_trial(project: Project, reference: str) -> tuple[Search, TrialRecord]:
    """What `exp042/best` (of the newest search that has one) or `exp042/t0017` (of any) means.

    Raises:
        WorkspaceError: there is none; the message says what there is.
    """
    name, _, wanted = reference.partition("/")
    searches = list_searches(project, name)
    if not searches:
        raise WorkspaceError(f"{reference}: {name} has no search; `comp tune {name}` makes one.")
    if wanted == "best":
        for search in searches:
            if best := search.best():
                return search, best
        raise WorkspaceError(f"{reference}: no trial of {name} was trained to its end yet; `comp tune {name}` goes on.")
    found = {record.trial: (search, record) for search in searches for record in search.trials()}
    if wanted in found:
        return found[wanted]
    there = f"{min(found)} to {max(found)}" if found else "none"
    near = suggest(wanted, ["best"])
    raise WorkspaceError(f"{reference}: {name} has no trial {wanted!r}{near}; wanted best, or one of its trials ({there}).")
