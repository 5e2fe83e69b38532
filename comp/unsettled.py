"""Unsettled: the questions that stand in a competition.yaml, each above the key that it is about.

`comp init` writes them (`# QUESTION: …`); a key that it could not conclude has the value "?" until somebody settles it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from comp.errors import Fault
from comp.marked import Marked, list_origins

UNKNOWN = "?"
MARK = "# QUESTION: "


@dataclass(frozen=True)
class Question:
    """A comment of competition.yaml.

    Attributes:
        key: dotted, of the line below it (`split.group`, commented out or not).
        line: that line's number, from 1.
    """

    key: str
    line: int
    text: str


def list_keys(text: str) -> Iterator[tuple[int, str, bool]]:
    """(line from 0, `section` or `section.key`, whether it is no comment) of the lines that state one, or would."""
    section, indent = "", ""
    for number, line in enumerate(text.splitlines()):
        key = re.match(r"( *)(# ?)?([A-Za-z_]\w*):", line)
        if not key or line.strip().startswith(MARK.strip()):
            continue
        if not key[1] and not key[2]:
            section, indent = key[3], ""
            yield number, section, True
        elif key[1] and section:
            indent = indent or key[1]
            if key[1] == indent:
                yield number, f"{section}.{key[3]}", not key[2]


def list_questions(text: str) -> list[Question]:
    """The questions of a competition.yaml that are still asked, in its order."""
    lines, found = text.splitlines(), []
    for number, key, _ in list_keys(text):
        first = number
        while first and lines[first - 1].strip().startswith(MARK):
            first -= 1
        if first < number:
            asked = (line.strip().removeprefix(MARK) for line in lines[first:number])
            found.append(Question(key, number + 1, " ".join(asked)))
    return found


def find_unsettled(values: Marked, file: Path) -> list[Fault]:
    """A fault for every key whose value is "?", with what is asked about it.

    Args:
        file: where the values were read from.
    """
    places = [(path, origin) for path, origin in list_origins(values) if values.find(path).value == UNKNOWN]
    if not places:
        return []
    asked = {question.key: question.text for question in list_questions(file.read_text(encoding="utf-8-sig"))}
    faults = []
    for path, origin in places:
        key = ".".join(path)
        said = f'is "?": {asked.get(key, "could not be concluded from the files")}'
        faults.append(Fault(origin.file, origin.line, key, f'{said}. Write the answer in place of "?" and run `comp init` again'))
    return faults
