"""Searched: what searches have found, a row each, for the board. Which of an experiment's trials is best is trials' to say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from comp.errors import CompError
from comp.manifest import load_manifest
from comp.project import Project
from comp.report.tables import format_age, format_score, format_table
from comp.search import open_space
from comp.trials import Search, digest_search, list_searches


@dataclass(frozen=True)
class SearchRow:
    """One search of an experiment.

    Attributes:
        search: its digest.
        wanted: how many trials there are to be.
        best: t0001, ...; "" where no trial was trained to its end.
        score: the best one's, on the folds that chose it.
        confirmed: its score on the other folds, where somebody asked for it.
        opened_at: when it was last worked on, in seconds since the epoch.
        marks: what is to be known before the score is believed.
    """

    experiment: str
    search: str
    done: int
    pruned: int
    failed: int
    wanted: int
    best: str
    score: float | None
    metric: str
    greater_is_better: bool
    folds: tuple[str, ...]
    confirmed: float | None
    opened_at: float
    marks: tuple[str, ...] = ()


def collect_searches(project: Project) -> list[SearchRow]:
    """A row per search: by experiment, of each the one that was last worked on first."""
    return [make_row(project, search) for name in project.names() for search in list_searches(project, name)]


def make_row(project: Project, search: Search) -> SearchRow:
    states, best = Counter(record.state for record in search.trials()), search.best()
    return SearchRow(
        experiment=search.experiment,
        search=search.digest,
        done=states["done"],
        pruned=states["pruned"],
        failed=states["failed"],
        wanted=search.state["trials"],
        best=best.trial if best else "",
        score=best.score if best else None,
        metric=search.metric,
        greater_is_better=search.greater_is_better,
        folds=tuple(search.folds),
        confirmed=best.confirmed if best else None,
        opened_at=search.state["opened_at"],
        marks=tuple(find_marks(project, search, bool(best))),
    )


def find_marks(project: Project, search: Search, has_best: bool) -> list[str]:
    marks = [] if has_best else ["no trial has ended"]
    try:
        today = load_manifest(project, search.experiment, search.state["sets"])
        digest = digest_search(today, open_space(today), search.state["contents"], search.folds)
    except CompError:
        return [*marks, "the manifest has faults or no search now"]
    return marks if digest == search.digest else [*marks, "the manifest has changed since"]


def describe_searches(rows: Sequence[SearchRow]) -> list[str]:
    """The rows as a table; nothing where there is none. Columns that nothing fills are left out."""
    if not rows:
        return []
    now = time.time()
    cells = [
        {
            "search of": row.experiment,
            "digest": row.search,
            "best": row.best,
            "score": format_score(row.score) if row.score is not None else "",
            "confirmed": format_score(row.confirmed) if row.confirmed is not None else "",
            "metric": row.metric,
            "folds": ",".join(row.folds),
            "done": str(row.done),
            "pruned": str(row.pruned) if row.pruned else "",
            "failed": str(row.failed) if row.failed else "",
            "of": str(row.wanted),
            "age": format_age(now - row.opened_at),
            "marks": "; ".join(row.marks),
        }
        for row in rows
    ]
    columns = [name for name in cells[0] if any(cell[name] for cell in cells)]
    right = [i for i, name in enumerate(columns) if name in ("score", "confirmed", "done", "pruned", "failed", "of", "age")]
    lines = format_table(columns, [[cell[name] for name in columns] for cell in cells], right)
    return [*lines, "", "score: on the folds that chose the trial, which flatters it; confirmed: on the others."]
