"""Findings: what an audit says, one thing each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["leak", "warning", "note"]
LEVELS: tuple[Level, ...] = ("leak", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: leak: scores are better than the models; warning: they may be; note: worth knowing.
        kind: lookalikes | labels | ids | order | groups | classes | shift | images.
        text: what was found, with its numbers.
        do: what to do about it; empty where there is nothing.
    """

    level: Level
    kind: str
    text: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.do}" if self.do else self.text


def rank_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
