"""Tables: aligned text for terminals, pipes and files alike. Scores, durations and ages are written one way everywhere."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MATRIX_MEMBERS = 8
"""Of more members than these a terminal is not given the matrix of correlations."""


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of equal columns, two spaces apart; the columns numbered in `right` are aligned to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [pad(cell, width, number in right) for number, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return lines


def text_width(text: str) -> int:
    """Columns that a terminal gives it: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def pad(text: str, width: int, right: bool = False) -> str:
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def format_score(score: float | None) -> str:
    if score is None or not math.isfinite(score):
        return "–"
    return f"{score:.4f}" if abs(score) < 100 else f"{score:,.2f}"


def format_spread(score: float | None, std: float | None) -> str:
    return format_score(score) if std is None or not math.isfinite(std) else f"{format_score(score)} ± {format_score(std)}"


def format_duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3:20`, `1:02:03`."""
    if seconds is None:
        return "–"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_age(seconds: float | None) -> str:
    """`just now`, `5 min`, `3 h`, `12 d`."""
    if seconds is None:
        return "–"
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "just now"


def headline(scores: Mapping[str, Any]) -> str:
    """`OOF accuracy 0.9312 ± 0.0041`: the pooled score with the spread over folds."""
    return f"OOF {scores['metric']} {format_spread(scores['pooled'], scores['std'])}"


def full_headline(scores: Mapping[str, Any]) -> str:
    """The headline with its bootstrap interval, and the coverage."""
    return "   ".join(filter(None, (headline(scores), interval_line(scores), coverage_line(scores))))


def interval_line(scores: Mapping[str, Any]) -> str:
    """`95% interval 0.9251 to 0.9370`; empty where there is none."""
    interval = scores.get("interval")
    return f"95% interval {format_score(interval['low'])} to {format_score(interval['high'])}" if interval else ""


def coverage_line(scores: Mapping[str, Any]) -> str:
    coverage = scores.get("coverage")
    if not coverage:
        return ""
    least, most = coverage.get("times", (1, 1))
    times = f", each held out {least if least == most else f'{least} to {most}'} times" if most > 1 else ""
    return f"{coverage['scored']:,} of {coverage['units']:,} units scored{times}"


def score_lines(scores: Mapping[str, Any], worst_classes: int = 5) -> list[str]:
    """What scores.json holds, for reading: folds, headline, further metrics, targets, the worst classes, what has no score."""
    folds: Mapping[str, float | None] = scores["per_fold"]
    lines = (
        [
            *format_table(["fold", scores["metric"]], [[fold, format_score(score)] for fold, score in folds.items()], right=(1,)),
            "",
        ]
        if folds
        else []
    )
    lines.append(full_headline(scores))
    lines += raw_lines(scores)
    if len(folds) > 1:
        lines.append(f"mean of folds {format_spread(scores['mean'], scores['std'])}")
    lines += [f"{name} {format_spread(other['pooled'], other['std'])}" for name, other in scores["also"].items()]
    if len(scores["per_target"]) > 1:
        lines += [f"{target}: {format_score(score)}" for target, score in scores["per_target"].items()]
    worst = rank_classes(scores)[:worst_classes]
    if worst:
        lines.append("worst classes: " + ", ".join(f"{name} {format_score(score)}" for name, score in worst))
    lines += [f"no score for {what}: {why}" for what, why in scores["undefined"].items()]
    return [*lines, *member_lines(scores)]


def raw_lines(scores: Mapping[str, Any]) -> list[str]:
    """What the score was before post, and of each seed by itself; nothing without post and with one seed."""
    lines = []
    if scores.get("raw"):
        names = ", ".join(rule["use"] for rule in scores["post"])
        lines.append(f"before post ({names}) {format_spread(scores['raw']['pooled'], scores['raw']['std'])}")
    if seeds := scores.get("seeds"):
        each = ", ".join(f"{seed}: {format_score(score)}" for seed, score in seeds["scores"].items())
        lines.append(f"by seed {each}; standard deviation {format_score(seeds['std'])}")
    return lines


def member_lines(scores: Mapping[str, Any]) -> list[str]:
    """A blend's members as a table after an empty line; nothing for other runs."""
    if not scores.get("blend"):
        return []
    many = len(scores["members"]) > MATRIX_MEMBERS
    header, *rows = member_rows(scores, matrix=not many)
    more = ["how they correlate stands in report.html"] if many and scores["blend"]["correlation"] else []
    return ["", *format_table(header, rows, right=range(2, len(header))), *more]


def member_rows(scores: Mapping[str, Any], matrix: bool = True) -> list[list[str]]:
    """The header, then for each member of a blend its run, its score alone, its weight, how the blend's score moves without it,
    and (with `matrix`) its correlation with each. Columns that nothing fills are left out.
    """
    blend, members = scores["blend"], scores["members"]
    sign = 1 if scores["greater_is_better"] else -1
    columns: dict[str, Mapping[str, str]] = {
        "alone": {name: format_score(score) for name, score in blend["scores"].items()},
        "weight": {name: f"{weight:.3f}" for name, weight in (blend["weights"] or {}).items()},
        "without": {name: f"{-sign * loss:+.4f}" for name, loss in blend["drop_one"].items() if loss is not None},
    }
    alike = blend["correlation"] if matrix else {}
    columns |= {f"r {name}": {other: f"{row[name]:.3f}" for other, row in alike.items()} for name in alike}
    filled = {title: column for title, column in columns.items() if column}
    rows = [[name, run, *(column.get(name, "–") for column in filled.values())] for name, run in members.items()]
    return [["member", "run", *filled], *rows]


def rank_classes(scores: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(class, score), worst first, of every target that has scores by class; `target=class` where there are several."""
    several = len(scores["per_target"]) > 1
    ranked = [
        (f"{target}={name}" if several else name, score)
        for target, by_class in scores["per_class"].items()
        for name, score in by_class.items()
        if score is not None
    ]
    return sorted(ranked, key=lambda pair: pair[1], reverse=not scores["greater_is_better"])
