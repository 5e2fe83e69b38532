"""The page of `comp audit`: what was found, pictures that look the same side by side, and what tells test from training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comp import __version__
from comp.pictures import Grid
from comp.project import atomic_write
from comp.report.html import open_template
from comp.report.tables import format_table

MOST_SIGNS = 12

Record = Mapping[str, Any]


def write_audit(path: Path, audit: Record, shown: Sequence[tuple[str, Grid]]) -> None:
    """Write the page.

    Args:
        audit: a comp.audit.audit.Audit as a mapping.
        shown: what stands above each cluster's pictures, and these, in the order of `clusters`.
    """
    shift = audit["shift"]
    text = open_template("audit.html.j2").render(
        audit=audit,
        counts={level: sum(finding["level"] == level for finding in audit["findings"]) for level in ("leak", "warning", "note")},
        shown=shown,
        signs=list_signs(shift) if shift else [],
        version=__version__,
    )
    atomic_write(path, text)


def audit_lines(audit: Record) -> list[str]:
    """The same for a terminal: the findings, the signs that tell test from training, and where to look."""
    findings = [[finding["level"], say_finding(finding)] for finding in audit["findings"]]
    lines = format_table(["", "found"], findings) if findings else ["nothing was found"]
    if shift := audit["shift"]:
        lines += [
            "",
            f"test against training pictures: AUC {shift['auc']:.3f} ± {shift['error']:.3f} (0.5: nothing tells them apart)",
        ]
        if signs := list_signs(shift)[:5]:
            header = ["sign", "AUC alone", "AUC lost without", "training", "test"]
            lines += format_table(
                header, [[name, alone, lost, *medians] for name, alone, lost, _, *medians in signs], right=(1, 2, 3, 4)
            )
    return lines


def say_finding(finding: Record) -> str:
    return f"{finding['text']}; {finding['do']}" if finding["do"] else finding["text"]


def list_signs(shift: Record) -> list[tuple[str, str, str, float, str, str]]:
    """(name, AUC alone, AUC lost without it, that as a share of 0.5, median of training, of test), those that tell most first."""
    return [
        (
            sign["name"],
            f"{sign['alone']:.3f}",
            f"{sign['without']:+.3f}",
            min(1.0, max(0.0, 2 * sign["without"])),
            *(format_median(sign[side]) for side in ("train", "test")),
        )
        for sign in shift["signs"][:MOST_SIGNS]
    ]


def format_median(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
