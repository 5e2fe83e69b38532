"""Notes: what `comp init` concludes, each key of competition.yaml with its reason and, where it is unsure, a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comp.errors import Fault
from comp.marked import Origin
from comp.unsettled import UNKNOWN


@dataclass(frozen=True)
class Conclusion:
    """One key of competition.yaml.

    Attributes:
        key: dotted, as in `dataset.id`.
        value: UNKNOWN ("?") where it could not be concluded.
        why: from what it was concluded.
        question: what the user should settle; "" where it is sure.
        choice: a line of YAML that stands there commented out, instead of the value.
    """

    key: str
    value: Any
    why: str
    question: str = ""
    choice: str = ""

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]


@dataclass
class Notes:
    """The conclusions so far, in the order of the file.

    Attributes:
        settled: what the user (or a known form) says already, by key; nothing is concluded against it, nor asked about it.
        origins: where that stands.
    """

    found: list[Conclusion] = field(default_factory=list)
    settled: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def add(self, key: str, value: Any, why: str, question: str = "", choice: str = "") -> Any:
        """Returns the value that counts: what was noted first, the settled one where there is one."""
        if any(note.key == key for note in self.found):
            return self.get(key)
        if key in self.settled:
            value, why, question, choice = self.settled[key], "as it stands there", "", ""
        self.found.append(Conclusion(key, value, why, question, choice))
        return value

    def ask(self, key: str, question: str) -> Any:
        """A key that cannot be concluded: UNKNOWN, or what is settled."""
        return self.add(key, UNKNOWN, "not to be concluded from the files", question)

    def get(self, key: str) -> Any:
        """What was concluded or settled; None where neither."""
        return next((note.value for note in self.found if note.key == key), self.settled.get(key))

    def fault(self, key: str, message: str) -> Fault:
        """What is wrong with a settled key, with its place."""
        return Fault(self.origins[key].file, self.origins[key].line, key, message)

    @property
    def unknown(self) -> list[Conclusion]:
        return [note for note in self.found if note.value == UNKNOWN]


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
