"""Further: what training reads besides the training table: extra tables and fixes.csv. Neither touches what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comp.competition import Competition
from comp.extra import ExtraTable, open_extra
from comp.fixes import Fixes, read_fixes
from comp.manifest import Manifest


@dataclass(frozen=True)
class Further:
    """Attributes:
    fixes: None where the workspace has none.
    """

    extra: tuple[ExtraTable, ...] = ()
    fixes: Fixes | None = None

    def contents(self) -> dict[str, str]:
        """Name -> SHA-256, for the digest."""
        found = {f"extra.{number}": table.sha256 for number, table in enumerate(self.extra)}
        return found | ({"fixes": self.fixes.sha256} if self.fixes else {})

    def describe(self) -> list[str]:
        """A line on each, with counts."""
        return [*(table.describe() for table in self.extra), *([self.fixes.describe()] if self.fixes else [])]

    def count(self) -> dict[str, Any]:
        """What a run's environment.json and scores.json say of them; empty where there is nothing."""
        extra = {"extra_rows": sum(len(table.tables.train) for table in self.extra)} if self.extra else {}
        return extra | ({"dropped": len(self.fixes.dropped), "relabelled": self.fixes.relabelled} if self.fixes else {})


def open_further(manifest: Manifest, competition: Competition) -> Further:
    """Raises: DataError: all faults of the first table (or of fixes.csv) that has some."""
    return Further(open_extra(manifest, competition), read_fixes(manifest.project.root, competition))
