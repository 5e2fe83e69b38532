"""Marked: YAML read with the place of each value. How mappings of such values merge is comp.overlay's.

YAML 1.2, safe: only plain data, each key once, no tags of one's own, bounded in size and in what aliases blow up to. What the
keys mean is manifest's business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from comp.errors import Fault

LARGEST_BYTES = 1_000_000
MOST_VALUES = 20_000
DEEPEST = 50
TOO_MANY = f"holds more than {MOST_VALUES:,} values or {DEEPEST} levels (aliases counted)"
LARGEST_WHOLE = 2**63
"""A whole number from here on is no count, seed or size, and of many thousand digits Python refuses to write it."""


class Origin(NamedTuple):
    """Where a value comes from. `line` counts from 1; 0 where the file is none (`default`, `--set loss.gamma=3`)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Marked:
    """A value and its place: a dict of text to Marked, a list of Marked, or text, number, bool or None."""

    value: Any
    origin: Origin

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    def get(self, key: str) -> Marked | None:
        return self.value.get(key) if isinstance(self.value, dict) else None

    def find(self, path: tuple[str, ...]) -> Marked:
        """The deepest value on the way along `path`."""
        node = self
        for part in path:
            children = dict(enumerate(node.value)) if isinstance(node.value, list) else node.value
            key = int(part) if isinstance(node.value, list) and part.isdecimal() else part
            if not isinstance(children, dict) or key not in children:
                break
            node = children[key]
        return node


def mark(value: Any, origin: Origin) -> Marked:
    """Plain data with one origin for all of it."""
    if isinstance(value, Mapping):
        return Marked({str(key): mark(item, origin) for key, item in value.items()}, origin)
    return Marked([mark(item, origin) for item in value] if isinstance(value, list | tuple) else value, origin)


def unmark(node: Marked) -> Any:
    """Plain data."""
    if isinstance(node.value, dict):
        return {key: unmark(item) for key, item in node.value.items()}
    return [unmark(item) for item in node.value] if isinstance(node.value, list) else node.value


def list_origins(node: Marked, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Origin]]:
    """The path and origin of every value, containers included."""
    yield path, node.origin
    children = node.value.items() if node.is_mapping else enumerate(node.value) if isinstance(node.value, list) else ()
    for key, item in children:
        yield from list_origins(item, (*path, str(key)))


def write_yaml(value: Any) -> str:
    """Plain data as block-style YAML that reads back as the same."""
    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    # ruamel writes these line breaks as they are, and reads them as spaces; in ASCII it escapes them.
    yaml.allow_unicode = not re.search("[\x85\u2028\u2029\ufeff]", _join_text(value))
    yaml.dump(value, text)
    return text.getvalue()


def _join_text(value: Any) -> str:
    """All text in plain data, joined."""
    if isinstance(value, dict):
        return "".join(key + _join_text(item) for key, item in value.items())
    return "".join(map(_join_text, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


# ---- reading -------------------------------------------------------------------------------------------------------------


def read_yaml(file: Path, shown: str) -> tuple[Marked, list[Fault]]:
    """A file that holds a mapping, and its faults. An empty file is an empty mapping.

    Args:
        shown: how messages name the file.
    """
    empty = Marked({}, Origin(shown))
    try:
        data = file.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return empty, [Fault(shown, line, "", f"is not UTF-8 (byte {error.start})")]
    except OSError as error:
        return empty, [Fault(shown, 0, "", f"cannot be read: {error.strerror}")]
    node, faults = parse_yaml(text, shown)
    if node is None or node.value is None:
        return empty, faults
    if not node.is_mapping:
        return empty, [*faults, Fault(shown, node.origin.line, "", "wanted `key: value` lines")]
    return node, faults


def parse_yaml(text: str, shown: str) -> tuple[Marked | None, list[Fault]]:
    """Any YAML document, None where it does not parse or is empty."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > LARGEST_BYTES:
        return None, [Fault(shown, 0, "", f"is larger than {LARGEST_BYTES:,} characters")]
    yaml = YAML(typ="safe", pure=True)
    bound_nodes(yaml)
    try:
        root = yaml.compose(text)
        reader = _Reader(yaml, shown)
        return (None if root is None else reader.read(root, (), root.start_mark.line + 1)), reader.faults
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        parts = " ".join(str(part) for part in (error.context, error.problem) if part)
        return None, [Fault(shown, place.line + 1 if place else 0, "", f"is not YAML: {parts}")]
    except YAMLError as error:
        return None, [Fault(shown, 0, "", f"is not YAML: {str(error).splitlines()[0]}")]
    except RecursionError:
        return None, [Fault(shown, 0, "", "is nested too deeply")]
    except ValueError as error:  # an escape such as "\U00110000", which ruamel hands on to chr
        return None, [Fault(shown, 0, "", f"is not YAML: {error}")]
    except _TooLarge as error:
        return None, [Fault(shown, error.line, "", str(error))]


def bound_nodes(yaml: Any) -> None:
    """Have composing end at as many values as may be read: a megabyte of dashes would take it a minute."""
    compose, made = yaml.composer.compose_node, count(1)

    def compose_node(parent: Any, index: Any) -> Any:
        if next(made) > 2 * MOST_VALUES:  # a key is a node, too
            raise _TooLarge(yaml.parser.peek_event().start_mark.line + 1, TOO_MANY)
        return compose(parent, index)

    yaml.composer.compose_node = compose_node


class _TooLarge(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Reader:
    """Turns ruamel's nodes into Marked, noting faults."""

    def __init__(self, yaml: Any, shown: str) -> None:
        self.yaml, self.shown, self.values = yaml, shown, 0
        self.faults: list[Fault] = []

    def read(self, node: Any, path: tuple[str, ...], line: int) -> Marked:
        self.values += 1
        # An alias that holds itself, and aliases of aliases, both end here.
        if self.values > MOST_VALUES or len(path) > DEEPEST:
            raise _TooLarge(line, TOO_MANY)
        origin = Origin(self.shown, line)
        if node.id == "mapping":
            return Marked(self._read_mapping(node, path), origin)
        if node.id == "sequence":
            items = [self.read(item, (*path, str(i)), item.start_mark.line + 1) for i, item in enumerate(node.value)]
            return Marked(items, origin)
        return Marked(self._read_scalar(node, path, line), origin)

    def _read_mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, Marked]:
        found: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.id != "scalar" or str(key_node.tag) == "tag:yaml.org,2002:merge":
                self._note(line, path, "a key must be text (`<<` is not read; `extends` takes over another manifest)")
                continue
            # As written: `0: cat` has the key "0", as tables do.
            key = str(key_node.value)
            if not is_unicode(key):
                self._note(line, path, f"the key {key!r} holds half a character")
                continue
            if key in found:
                self._note(line, (*path, key), f"stands twice (first in line {found[key].origin.line})")
            # `{size:48}` is one key without a value to YAML, and a key without a value says "the default".
            if node.flow_style and ":" in key and key_node.style is None and value_node.value == "":
                self._note(line, (*path, key), f"has no value; a colon wants a space after it: {key.replace(':', ': ', 1)}")
            found[key] = self.read(value_node, (*path, key), line)
        return found

    def _read_scalar(self, node: Any, path: tuple[str, ...], line: int) -> Any:
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if kind in ("null", "bool", "int", "float"):
            try:
                value = self.yaml.constructor.construct_object(node)
            except (ValueError, KeyError):
                return self._note(line, path, f"{node.value!r} is no {kind}")
            if not _is_usable(value):
                return self._note(line, path, f"{node.value!r} is no number that can be reckoned with")
            return value
        # Dates stay as written: a cut is compared with the table's own text.
        if kind in ("str", "timestamp", "value") and is_unicode(str(node.value)):
            return str(node.value)
        if kind == "str":
            return self._note(line, path, f"{node.value!r} holds half a character")
        return self._note(line, path, f"the tag {node.tag} is not read; plain values only")

    def _note(self, line: int, path: tuple[str, ...], message: str) -> None:
        self.faults.append(Fault(self.shown, line, ".".join(path), message))


def is_unicode(text: str) -> bool:
    """Whether it can be written: YAML's "\\ud800", and a byte that was none, are halves of a character."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_usable(value: Any) -> bool:
    return abs(value) < LARGEST_WHOLE if isinstance(value, int) else not (isinstance(value, float) and math.isnan(value))
