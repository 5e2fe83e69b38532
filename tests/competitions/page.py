"""Page: docs/competitions.md, written from the known forms and from what `comp init` concluded from each miniature by itself.

`python -m tests.competitions.page` writes it; a test compares it with what is measured.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from comp.inline import to_yaml
from comp.known import list_slugs, open_form
from comp.project import competitions_folder
from tests.competitions.concluded import Compared, compare

PAGE = Path(__file__).parents[2] / "docs" / "competitions.md"
HEAD = """\
# Known competitions

How {count} competitions are written with no code: what is fixed (`competition`, which becomes competition.yaml) and what the
first experiment says beyond the defaults (`manifest`). `comp init --competition SLUG --data DIR` takes such a form (the beginning
of its name is enough), counts the facts, and makes `exp001`; `--data` is the folder of the competition's files as handed out.

Without `--competition`, `comp init --data DIR` looks at the files. Below each form stands what it gets right by itself, measured
on a miniature of the competition's own layout: of all keys that the form or `init` states (a missing one counts as its default;
the folder and what is counted do not count). *Asked* are keys above which `init` writes a question, so that a wrong one is
settled by one line; the metric shows in no file, and is asked about always. Over all forms {right} of {all} keys are right; of
the {wrong} others, {told} are asked about. The rules name no competition, but were written
with these miniatures at hand: a competition that is none of them may go worse.
`python -m tests.competitions.page` writes this page.
"""


def measure_all(folder: Path) -> dict[str, list[Compared]]:
    """Of every known competition, by slug."""
    return {slug: measure(slug, folder / slug) for slug in list_slugs()}


def measure(slug: str, data: Path) -> list[Compared]:
    write_miniature(slug, data)
    return compare(slug, data)


def write_miniature(slug: str, data: Path) -> None:
    importlib.import_module(f"tests.competitions.minis.{slug.replace('-', '_')}").write(data)


def write_page(measured: Mapping[str, Sequence[Compared]]) -> str:
    rows = [row for each in measured.values() for row in each]
    wrong = [row for row in rows if not row.is_right]
    told = sum(row.asked for row in wrong)
    head = HEAD.format(count=len(measured), right=len(rows) - len(wrong), all=len(rows), wrong=len(wrong), told=told)
    return "\n".join([head, *(write_form(slug, each) for slug, each in measured.items())])


def write_form(slug: str, rows: Sequence[Compared]) -> str:
    """Title, what is special, the form, and what init concluded."""
    head = open_form(slug).head
    special = " ".join(line for line in head[1:] if line).removeprefix("Special: ")
    text = (competitions_folder() / f"{slug}.yaml").read_text(encoding="utf-8")
    body = text[text.index("competition:") :].rstrip()
    return f"## {slug}\n\n{head[0]}\n\nSpecial: {special}\n\n```yaml\n{body}\n```\n\n{describe(rows)}\n"


def describe(rows: Sequence[Compared]) -> str:
    right = sum(row.is_right for row in rows)
    wrong = [f"`{row.key}` ({say(row.got)}; wanted {say(row.wanted)})" for row in rows if not row.is_right]
    asked = [f"`{row.key}`" for row in rows if row.asked]
    parts = [f"Init by itself: {right} of {len(rows)} keys right"]
    parts += [f"wrong: {', '.join(wrong)}"] if wrong else ["none wrong"]
    parts += [f"asked: {', '.join(asked)}"] if asked else []
    return "; ".join(parts) + "."


def say(value: object) -> str:
    return "nothing" if value is None or value == [] else f"`{to_yaml(value)}`"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(write_page(measure_all(Path(place))), encoding="utf-8")
