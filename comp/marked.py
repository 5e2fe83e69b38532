"""Marked: YAML read with the place of each value, and how mappings of such values merge.

YAML 1.2, safe: only plain data, each key once, no tags of one's own, bounded in size and in what aliases blow up to. What the
keys mean is manifest's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from comp.errors import Fault

LARGEST_BYTES = 1_000_000
MOST_VALUES = 20_000
DEEPEST = 50


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
            key = int(part) if isinstance(node.value, list) and part.isdigit() else part
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
    except _TooLarge as error:
        return None, [Fault(shown, error.line, "", str(error))]


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
            raise _TooLarge(line, f"holds more than {MOST_VALUES:,} values or {DEEPEST} levels (aliases counted)")
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
                return self.yaml.constructor.construct_object(node)
            except (ValueError, KeyError):
                return self._note(line, path, f"{node.value!r} is no {kind}")
        # Dates stay as written: a cut is compared with the table's own text.
        if kind in ("str", "timestamp", "value"):
            return str(node.value)
        return self._note(line, path, f"the tag {node.tag} is not read; plain values only")

    def _note(self, line: int, path: tuple[str, ...], message: str) -> None:
        self.faults.append(Fault(self.shown, line, ".".join(path), message))


# ---- merging -------------------------------------------------------------------------------------------------------------


def merge(
    below: Marked, over: Marked, *, floor: Marked | None = None, implied: Mapping[str, str] | None = None, keep_null: bool = False
) -> Marked:
    """`over` laid on `below`, both mappings: mappings merge, lists replace, another `use` replaces the whole mapping.

    Args:
        floor: what null restores; a key that it lacks is removed.
        implied: key -> what `use` is where a mapping leaves it out.
        keep_null: null is a value (a resolved manifest).
    """
    found = dict(below.value)
    for key, item in over.value.items():
        under, ground = found.get(key), floor.get(key) if floor else None
        if item.value is None and not keep_null:
            found.pop(key, None)
            if ground is not None:
                found[key] = ground
        elif key == "search" and under and under.is_mapping and item.is_mapping:
            found[key] = _lay_search(under, item, keep_null)
        elif under and under.is_mapping and item.is_mapping and not _replaces(key, under, item, (implied or {}).get(key)):
            same = ground is not None and ground.is_mapping and _use(ground) in (None, _use(under))
            found[key] = merge(under, item, floor=ground if same else None, keep_null=keep_null)
        else:
            # A stage's nulls restore the defaults when it merges in its turn.
            found[key] = item if keep_null or key == "stages" else _drop_null(item)
    return Marked(found, over.origin if over.value else below.origin)


def _lay_search(below: Marked, over: Marked, keep_null: bool) -> Marked:
    """A key's domain replaces the one underneath whole; null takes it out."""
    kept = {key: node for key, node in below.value.items() if key not in over.value}
    own = over if keep_null else _drop_null(over)
    return Marked(kept | own.value, over.origin)


def _use(node: Marked) -> Any:
    use = node.get("use")
    return None if use is None else use.value


def _replaces(key: str, under: Marked, item: Marked, implied: str | None) -> bool:
    if key == "loss" and _is_per_target(under):
        return "use" in item.value
    if key == "loss" and _is_per_target(item):
        return True
    use = _use(item)
    return use is not None and use != (_use(under) or implied or use)


def _is_per_target(node: Marked) -> bool:
    """A loss each for several targets: `{label: {use: focal}, alphabet: {use: focal}}`."""
    return bool(node.value) and all(item.is_mapping and "use" in item.value for item in node.value.values())


def _drop_null(node: Marked) -> Marked:
    if node.is_mapping:
        return Marked({key: _drop_null(item) for key, item in node.value.items() if item.value is not None}, node.origin)
    if isinstance(node.value, list):
        return Marked([_drop_null(item) for item in node.value], node.origin)
    return node
