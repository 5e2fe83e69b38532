"""Board: what all experiments are worth, side by side, from what their runs have stored. Nothing is trained or predicted.

Of each experiment the newest complete run counts, or else the one with most folds. Marks say where an experiment is not like
the others: folds, targets or a metric of its own, a manifest that has changed since its run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comp.catalog import Catalog, build_catalog
from comp.defaults import imply_uses, read_facts
from comp.errors import CompError, PluginError
from comp.ledger import Entry, read_ledger
from comp.manifest import load_competition_file, load_manifest
from comp.marked import read_yaml, unmark
from comp.project import Project
from comp.report.tables import format_age, format_duration, format_score, format_spread, format_table
from comp.runs import Run, list_runs
from comp.signature import fill_defaults, list_parameters

OVERRIDES = {"split": "other folds", "metric": "other metric"}


@dataclass(frozen=True)
class BoardRow:
    """One experiment.

    Attributes:
        digest: of the run that counts; empty where there is none.
        cv, cv_std: pooled OOF score by the run's own metric, and the folds' spread.
        local, public, private: the scores that the run's newest submissions got.
        elapsed_s: training time of all folds; `made_at`: seconds since the epoch.
        on, on_units: with `--on`: the score by the competition's metric on the units that all experiments predicted.
        marks: what sets it apart from the competition.
    """

    experiment: str
    about: str = ""
    digest: str = ""
    metric: str = ""
    greater_is_better: bool = True
    cv: float | None = None
    cv_std: float | None = None
    folds_done: int = 0
    folds: int = 0
    local: float | None = None
    public: float | None = None
    private: float | None = None
    elapsed_s: float | None = None
    made_at: float | None = None
    on: float | None = None
    on_units: int | None = None
    marks: tuple[str, ...] = ()


def collect_board(project: Project, on: str | None) -> list[BoardRow]:
    """A row per experiment: the competition's metric first and best first, then other metrics, then what has no score.

    Args:
        on: fold numbers (`0`, `0,2`) or `all`: also compare on the units of these folds that every experiment predicted.

    Raises:
        WorkspaceError: `on` names a fold that does not exist.
        PredictionsError: there is no unit that all of them predicted.
    """
    fixed = read_fixed(project)
    ledger = read_ledger(project)
    chosen = {name: choose_run(list_runs(project, name)) for name in project.names()}
    rows = [make_row(project, name, run, fixed, ledger) for name, run in chosen.items()]
    if on is not None:
        from comp.comparison import compare_runs

        begun = [run for run in chosen.values() if run and (run.folder / "oof.parquet").exists()]
        scores = compare_runs(project, begun, fixed, on)
        rows = [replace(row, on=scores.by_experiment.get(row.experiment), on_units=scores.units) for row in rows]
        rows = [mark(row, scores.refused.get(row.experiment)) for row in rows]
    return sorted(rows, key=lambda row: rank(row, fixed["metric"]["use"], on is not None))


def mark(row: BoardRow, text: str | None) -> BoardRow:
    return replace(row, marks=(*row.marks, text)) if text and text not in row.marks else row


def rank(row: BoardRow, metric: str, compared: bool) -> tuple[bool, bool, float, str]:
    score = row.on if compared else row.cv
    signed = 0.0 if score is None else -score if row.greater_is_better else score
    return score is None, not compared and row.metric != metric, signed, row.experiment


def choose_run(runs: Sequence[Run]) -> Run | None:
    """Of an experiment's runs, newest first: the newest complete one, or else the one with most folds."""
    complete = [run for run in runs if run.complete]
    return complete[0] if complete else max(runs, key=lambda run: (len(run.done), run.made_at), default=None)


def make_row(project: Project, name: str, run: Run | None, fixed: Mapping[str, Any], ledger: Sequence[Entry]) -> BoardRow:
    if run is None:
        return BoardRow(name, marks=("no run",))
    scores = run.scores() or {}
    values = unmark(read_yaml(run.folder / "manifest.resolved.yaml", run.digest)[0])
    submitted = [entry for entry in ledger if entry.experiment == name and entry.digest == run.digest]
    known = {
        what: [value for entry in submitted if (value := getattr(entry, what)) is not None] for what in ("public", "private")
    }
    return BoardRow(
        experiment=name,
        about=values.get("about") or "",
        digest=run.digest,
        metric=scores.get("metric", ""),
        greater_is_better=scores.get("greater_is_better", True),
        cv=scores.get("pooled"),
        cv_std=scores.get("std"),
        folds_done=len(scores.get("folds_done", run.done)),
        folds=len(run.folds),
        local=read_local(project, name, [entry.version for entry in submitted]),
        public=known["public"][-1] if known["public"] else None,
        private=known["private"][-1] if known["private"] else None,
        elapsed_s=scores.get("elapsed_s"),
        made_at=run.made_at,
        marks=tuple(find_marks(project, run, values, fixed)),
    )


def read_local(project: Project, name: str, versions: Sequence[str]) -> float | None:
    """What the workspace's own leaderboard said of the newest of these submissions."""
    for version in reversed(versions):
        file = project.submissions / name / f"{version}.json"
        local = json.loads(file.read_text(encoding="utf-8")).get("local") if file.exists() else None
        if local:
            return float(next(iter(local.values())))
    return None


# ---- marks ---------------------------------------------------------------------------------------------------------------


def read_fixed(project: Project) -> dict[str, Any]:
    """What competition.yaml holds fixed, with every default written out, so that it can be told from an override."""
    stated = load_competition_file(project)
    implied = imply_uses(read_facts(stated.get("task") or {}, stated.get("dataset") or {}))
    catalog = build_catalog(project)
    fixed = {
        key: complete_spec(catalog, key, stated.get(key) or {"use": implied[key]})
        for key in OVERRIDES
        if key in stated or key in implied
    }
    dataset = complete_spec(catalog, "dataset", stated["dataset"]) if stated.get("dataset") else {}
    return {**fixed, "target": dataset.get("target")}


def complete_spec(catalog: Catalog, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plugin, _ = catalog.find(kind, spec["use"])
    except PluginError:
        return dict(spec)
    return {**fill_defaults(list_parameters(plugin)), **spec}


def find_marks(project: Project, run: Run, values: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[str]:
    """What a run does otherwise than the competition, and whether its manifest is still the same."""
    marks = [text for key, text in OVERRIDES.items() if key in fixed and not is_same(values.get(key), fixed[key])]
    if not is_same((values.get("dataset") or {}).get("target"), fixed["target"]):
        marks.append("other targets")
    marks += ["blend"] * run.is_blend + ["imported"] * run.is_imported
    marks += describe_further(run.state.get("further", {}))
    moved = describe_change(project, run)
    return [*marks, moved] if moved else marks


def describe_further(counts: Mapping[str, int]) -> list[str]:
    """What a run trained on besides the training table, as it has counted it: `+120 rows`, `3 dropped`, `5 relabelled`."""
    extra = [f"+{counts['extra_rows']:,} rows"] if counts.get("extra_rows") else []
    return extra + [f"{counts[key]} {key}" for key in ("dropped", "relabelled") if counts.get(key)]


def is_same(one: Any, other: Any) -> bool:
    """Whether two plain values say the same; a tuple that was written to YAML has come back as a list."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def describe_change(project: Project, run: Run) -> str:
    """Whether what the manifest says now would make another run of the same data; nothing where it would not."""
    try:
        today = load_manifest(project, run.experiment)
        same = today.digest(run.state["contents"]) == run.digest
        split = today.values["split"]
        folds = len(run.folds) // split.get("repeats", 1)
        if not same and not run.is_given and split.get("folds", folds) != folds:
            same = load_manifest(project, run.experiment, folds=folds).digest(run.state["contents"]) == run.digest
    except CompError:
        return "the manifest has faults now"
    return "" if same else "the manifest has changed since"


# ---- the table -----------------------------------------------------------------------------------------------------------


def describe_board(rows: Sequence[BoardRow]) -> list[str]:
    """The rows as a table; columns that nothing fills are left out."""
    if not rows:
        return ["no experiments yet; `comp new exp001` makes one."]
    compared = next((row.on_units for row in rows if row.on_units is not None), None)
    now = time.time()
    cells = [
        {
            "experiment": row.experiment,
            "digest": row.digest,
            "score": format_score(row.on) if row.on is not None else "",
            "CV": format_spread(row.cv, row.cv_std) if row.metric else "",
            "metric": row.metric,
            "folds": f"{row.folds_done}/{row.folds}" if row.folds else "",
            "local": format_score(row.local) if row.local is not None else "",
            "public": format_score(row.public) if row.public is not None else "",
            "private": format_score(row.private) if row.private is not None else "",
            "time": format_duration(row.elapsed_s) if row.elapsed_s is not None else "",
            "age": format_age(now - row.made_at) if row.made_at is not None else "",
            "marks": "; ".join(row.marks),
        }
        for row in rows
    ]
    columns = [name for name in cells[0] if name == "CV" or any(cell[name] for cell in cells)]
    right = [
        number
        for number, name in enumerate(columns)
        if name in ("score", "CV", "folds", "local", "public", "private", "time", "age")
    ]
    lines = format_table(columns, [[cell[name] for name in columns] for cell in cells], right)
    return (
        lines
        if compared is None
        else [*lines, "", f"score: by the competition's metric, on the {compared:,} units that all of them predicted."]
    )
