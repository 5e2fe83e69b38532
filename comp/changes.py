"""Changes: what a manifest says otherwise than a run of it was made of, in words, and what its unpinned parents say by now.

A parent that is not pinned is read anew each time, so that editing it changes the child. What the parents said at the last
run is kept beside the runs (`runs/.parents.json`), for the child's next command to say what is new.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from comp.events import Emit, Notice
from comp.formats import read_record
from comp.inline import to_yaml
from comp.layers import OWN_KEYS, show_path
from comp.manifest import Manifest
from comp.marked import read_yaml, unmark
from comp.project import MANIFEST_FILE, atomic_write, hash_file

FORMAT = 1
SHOWN = 4
LONGEST = 40


def list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`train.epochs was 3 and is 5`, for every key in which two manifests differ."""
    old, new = dict(_list_leaves(before)), dict(_list_leaves(now))
    keys = [*old, *(key for key in new if key not in old)]
    return [f"{key} was {_show(old, key)} and is {_show(new, key)}" for key in keys if not _is_same(old, new, key)]


def say_few(changes: list[str]) -> str:
    """The first changes on one line."""
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return ", ".join(changes[:SHOWN]) + more


def _list_leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _list_leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        # What a manifest without stages says stands in one stage; people have never seen its number.
        alone = path == "stages" and len(value) == 1
        for number, item in enumerate(value):
            # Its epochs are those of its `train`.
            shown = {key: part for key, part in item.items() if key != "epochs"} if alone else item
            yield from _list_leaves(shown, "" if alone else f"{path}.{number}")
    else:
        yield path, value


def _show(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "not set"
    text = to_yaml(values[key])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _is_same(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> bool:
    return json.dumps(old.get(key, "\0"), sort_keys=True) == json.dumps(new.get(key, "\0"), sort_keys=True)


# ---- parents -------------------------------------------------------------------------------------------------------------


def tell_changed_parents(manifest: Manifest, emit: Emit) -> None:
    """Say which unpinned parents have changed since this experiment was last run."""
    for text in find_changed_parents(manifest):
        emit(Notice(text, "warning"))


def find_changed_parents(manifest: Manifest) -> list[str]:
    """A sentence for each parent that says otherwise than at the last run; empty where nothing was run yet."""
    file = manifest.folder / "runs" / ".parents.json"
    if not file.exists():
        return []
    before = read_record(file, FORMAT)["parents"]
    sentences = []
    for name, now in describe_parents(manifest).items():
        changes = list_changes(before[name], now) if name in before else []
        if changes:
            pin = f"`extends: {name}@DIGEST` would pin one of its runs"
            sentences.append(f"{name}, which {manifest.name} extends, has changed since the last run: {say_few(changes)} ({pin})")
    return sentences


def remember_parents(manifest: Manifest) -> None:
    """Keep what the unpinned parents say, for the next command to compare with."""
    parents = describe_parents(manifest)
    file = manifest.folder / "runs" / ".parents.json"
    if parents or file.exists():
        atomic_write(file, json.dumps({"format": FORMAT, "parents": parents}, indent=2, ensure_ascii=False))


def describe_parents(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Each unpinned parent -> what it hands down: its manifest's keys, and hashes of the code in its folder."""
    found = {}
    for name in manifest.parents:
        if "@" in name:
            break  # what a run resolved to holds its own parents already
        folder = manifest.project.parent(name)
        values, _ = read_yaml(folder / MANIFEST_FILE, show_path(manifest.project, folder / MANIFEST_FILE))
        stated = {key: value for key, value in unmark(values).items() if key not in OWN_KEYS}
        found[name] = {**stated, **{file.name: hash_file(file)[:8] for file in sorted(folder.glob("*.py"))}}
    return found
