"""Notes: what `comp init` concludes, each key of competition.yaml with its reason and, where it is unsure, a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Conclusion:
    """One key of competition.yaml.

    Attributes:
        key: dotted, as in `dataset.id`.
        why: from what it was concluded.
        question: what the user should settle; "" where it is sure.
        choice: a line of YAML that stands there commented out, instead of the value.
    """

    key: str
    value: Any
    why: str
    question: str = ""
    choice: str = ""


@dataclass
class Notes:
    """The conclusions so far, in the order of the file."""

    found: list[Conclusion] = field(default_factory=list)

    def add(self, key: str, value: Any, why: str, question: str = "", choice: str = "") -> Any:
        self.found.append(Conclusion(key, value, why, question, choice))
        return value


def as_mapping(conclusions: Sequence[Conclusion]) -> dict[str, Any]:
    """Nested, as competition.yaml will be."""
    found: dict[str, Any] = {}
    for note in conclusions:
        place: Any = found
        *parents, last = note.key.split(".")
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = note.value
    return found
