"""Concluded: what `comp init` makes of a competition's files by itself, key by key beside the known form."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from comp.catalog import build_catalog
from comp.init import init_workspace
from comp.keys import SECTIONS
from comp.known import open_form
from comp.signature import fill_defaults, list_parameters
from comp.unsettled import list_questions

COUNTED = ("task.classes", "task.rows", "task.test_rows", "task.image_px", "task.channels")
NOWHERE = ("dataset.data", *COUNTED)
"""Keys that no form states."""


class Compared(NamedTuple):
    """A key of competition.yaml. `asked`: the file that init wrote has a question there."""

    key: str
    wanted: Any
    got: Any
    asked: bool

    @property
    def is_right(self) -> bool:
        return self.wanted == self.got


def compare(slug: str, data: Path) -> list[Compared]:
    """Every key that the known form or what init concluded from `data` states; a missing one is the plugin's default."""
    with tempfile.TemporaryDirectory() as folder:
        file = init_workspace(Path(folder) / "workspace", data).file
        return compare_text(slug, file.read_text(encoding="utf-8"))


def compare_text(slug: str, text: str) -> list[Compared]:
    """The same, of a competition.yaml that init wrote."""
    got, wanted = YAML(typ="safe", pure=True).load(text), open_form(slug).competition
    asked = {question.key for question in list_questions(text)}
    stated = dict.fromkeys(key for values in (wanted, got) for key, _ in list_leaves(values) if key not in NOWHERE)
    return [Compared(key, complete(wanted, key), complete(got, key), key in asked) for key in stated]


def list_leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, keys in values.items():
        if isinstance(keys, Mapping):
            yield from ((f"{section}.{key}", value) for key, value in keys.items())


def complete(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key, or its default in the plugin that these values use."""
    section, _, name = key.partition(".")
    stated = values.get(section) or {}
    if name in stated:
        return stated[name]
    if section in SECTIONS:
        return fill_defaults(SECTIONS[section]).get(name)
    if "use" not in stated:
        return None
    plugin, _ = build_catalog(None).find(section, stated["use"])
    return fill_defaults(list_parameters(plugin)).get(name)
