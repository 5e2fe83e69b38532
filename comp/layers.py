"""Layers: the files that a manifest is laid together from, nearest last: competition.yaml, what it extends, its own, `--set`.

Reads and merges what is stated. Defaults come from defaults, and whether it makes sense is asked in checking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comp.errors import Fault, ManifestError, WorkspaceError
from comp.keys import COMPETITION_KEYS, PLAIN, STARTING_KEYS
from comp.marked import DEEPEST, Marked, Origin, is_unicode, mark, parse_yaml, read_yaml, unmark
from comp.overlay import merge
from comp.project import MANIFEST_FILE, NAME, Project, suggest
from comp.unsettled import find_unsettled

OWN_KEYS = ("format", "about", "extends")
"""What says something about one file, and is not handed down."""


Read = tuple[Marked, list[Fault]]
"""Values, and what is wrong with where they were read from."""


@dataclass(frozen=True)
class Layer:
    """One file's values. `pinned`: what a run resolved to, where null is a value."""

    values: Marked
    pinned: bool = False


@dataclass
class Chain:
    """An experiment's own file and those that it extends.

    Attributes:
        layers: farthest parent first, its own last.
        parents: what it extends, nearest first, as written (`exp041@3f9a1c20`).
        folders: where plugins of its own may lie, nearest first.
    """

    layers: list[Layer] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def show_path(project: Project, file: Path) -> str:
    """A path as messages name it: from the workspace, where it lies inside."""
    return file.relative_to(project.root).as_posix() if file.is_relative_to(project.root) else str(file)


def read_competition(project: Project) -> Read:
    """competition.yaml. Keys that it may not hold are faults and left out.

    Raises:
        ManifestError: what `comp init` could not conclude is not settled yet: all such keys, and nothing that follows from them.
    """
    shown = show_path(project, project.competition_file)
    values, faults = read_yaml(project.competition_file, shown)
    if unsettled := find_unsettled(values, project.competition_file):
        raise ManifestError(unsettled)
    faults += check_format(values)
    kept = {}
    for key, node in values.value.items():
        if key in (*COMPETITION_KEYS, *STARTING_KEYS):
            kept[key] = node
        elif key != "format":
            holds = f"; it belongs in a manifest ({shown} holds {', '.join(COMPETITION_KEYS)})"
            belongs = suggest(key, COMPETITION_KEYS) or holds
            faults.append(Fault(shown, node.origin.line, key, f"is not fixed by a competition{belongs}"))
    return merge(Marked({}, values.origin), Marked(kept, values.origin)), faults


def check_format(values: Marked) -> list[Fault]:
    """A file of a newer version is refused before anything in it is judged."""
    node = values.get("format")
    newest = next(parameter.default for parameter in PLAIN if parameter.name == "format")
    if node is None or not isinstance(node.value, int) or node.value <= newest:
        return []
    message = f"is {node.value}, but this comp reads up to {newest}: upgrade comp-kit"
    return [Fault(node.origin.file, node.origin.line, "format", message)]


def read_chain(project: Project, name: str, file: Path | None = None) -> Chain:
    """Follow `extends` from an experiment.

    Args:
        file: to start from instead of its manifest (what a run of it resolved to).

    Raises:
        WorkspaceError: there is no such experiment.
    """
    chain = Chain()
    folder = project.experiment(name)
    file = file or folder / MANIFEST_FILE
    values, faults = read_yaml(file, show_path(project, file))
    chain.faults += faults + check_format(values)
    chain.layers.append(Layer(values))
    chain.folders.append(folder)
    seen = [name]
    while (node := values.get("extends")) is not None and node.value is not None:
        try:
            values, pinned, folder = _read_parent(project, folder, node, seen, chain)
        except WorkspaceError as error:
            chain.faults.append(Fault(node.origin.file, node.origin.line, "extends", str(error)))
            break
        # What a run resolved to holds its parents already; they are followed for their plugins' sake only.
        if not any(layer.pinned for layer in chain.layers):
            chain.layers.insert(0, Layer(_hand_down(values, pinned), pinned))
    return chain


def _read_parent(project: Project, child: Path, node: Marked, seen: list[str], chain: Chain) -> tuple[Marked, bool, Path]:
    match = re.fullmatch(r"([^@]+)(?:@([0-9a-f]{8}))?", str(node.value))
    if not isinstance(node.value, str) or not match or not NAME.fullmatch(match[1]):
        raise WorkspaceError(f"is {node.value!r}; wanted an experiment (exp041), a run of it (exp041@3f9a1c20) or an example")
    name, digest = match.groups()
    if name in seen:
        raise WorkspaceError(f"goes in a circle: {' → '.join([*seen[seen.index(name) :], name])}")
    seen.append(name)
    file = _find_pinned(project, child, name, digest) if digest else project.parent(name) / MANIFEST_FILE
    values, faults = read_yaml(file, show_path(project, file))
    chain.faults += faults + check_format(values)
    chain.parents.append(node.value)
    folder = project.experiments / name if digest else file.parent
    if folder.is_dir():
        chain.folders.append(folder)
    return values, digest is not None, folder


def _find_pinned(project: Project, child: Path, name: str, digest: str) -> Path:
    copy = child / "extends" / f"{name}@{digest}.yaml"
    run = project.experiments / name / "runs" / digest / "manifest.resolved.yaml"
    for file in (copy, run):
        if file.is_file():
            return file
    there = sorted(path.parent.name for path in run.parent.parent.glob("*/manifest.resolved.yaml"))
    known = f"runs of {name}: {', '.join(there)}" if there else f"{name} has no run here"
    raise WorkspaceError(f"there is neither a run {name}@{digest} nor its copy {show_path(project, copy)} ({known})")


def _hand_down(values: Marked, pinned: bool) -> Marked:
    dropped = {*OWN_KEYS, *(COMPETITION_KEYS if pinned else ())}
    kept = {key: node for key, node in values.value.items() if key not in dropped}
    if pinned and kept.get("stages") is not None and kept["stages"].value and "train" in kept and kept["train"].is_mapping:
        train = kept["train"]
        kept["train"] = Marked({key: node for key, node in train.value.items() if key != "epochs"}, train.origin)
    return Marked(kept, values.origin)


def lay_on(stated: Marked, layer: Layer, competition: Marked, implied: Mapping[str, str]) -> Read:
    """What is stated with one more layer, and what in that layer has no effect."""
    stated = merge(stated, layer.values, floor=competition, implied=implied, keep_null=layer.pinned)
    return stated, _check_epochs(stated, layer.values)


def _check_epochs(stated: Marked, layer: Marked) -> list[Fault]:
    """`train.epochs` beside or above stages would be silently without effect."""
    stages, train = stated.get("stages"), layer.get("train")
    epochs = train.get("epochs") if train else None
    if not (stages and stages.value and epochs and epochs.value is not None):
        return []
    message = f"does nothing beside the stages of {stages.origin}: set stages.0.epochs, or `stages: null`"
    return [Fault(epochs.origin.file, epochs.origin.line, "train.epochs", message)]


# ---- --set ---------------------------------------------------------------------------------------------------------------


def read_set(text: str, resolve: Callable[[], Marked]) -> Read:
    """`optimizer.lr=1e-4` as a layer; the value is YAML; `augment.0.p=0.5` reaches into a list.

    Args:
        resolve: what the manifest resolves to so far, for lists.
    """
    origin = Origin(f"--set {text}")
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    nothing = Marked({}, origin)
    if not is_unicode(text):
        return nothing, [Fault(f"--set {text!r}", 0, "", "is not UTF-8")]
    if not equals or not all(parts):
        return nothing, [Fault(origin.file, 0, "", "wanted key=value, as in `--set optimizer.lr=1e-4`")]
    if parts[0] == "search" and len(parts) > 1:
        parts = ["search", ".".join(parts[1:])]  # what it varies is named by a dotted key
    if len(parts) > DEEPEST:
        return nothing, [Fault(origin.file, 0, "", f"goes deeper than {DEEPEST} levels")]
    if parts[0] in ("extends", "format"):
        return nothing, [Fault(origin.file, 0, "", f"{parts[0]!r} can only stand in the manifest itself")]
    node, faults = parse_yaml(value, origin.file)
    if faults:
        return nothing, [Fault(origin.file, 0, key, fault.message) for fault in faults]
    node = mark(None if node is None else unmark(node), origin)
    below = resolve() if any(part.isdecimal() for part in parts) else None
    try:
        return _wrap(parts, node, below), []
    except IndexError as error:
        return nothing, [Fault(origin.file, 0, key, str(error))]


def find_overridden(texts: Sequence[str]) -> list[Fault]:
    """`--set loss.gamma=2 --set loss.use=focal`: another `use` replaces the whole mapping, and the first would be lost."""
    keys = [text.partition("=")[0].strip() for text in texts]
    faults = []
    for place, key in enumerate(keys):
        owner, _, last = key.rpartition(".")
        lost = [earlier for earlier in keys[:place] if earlier.startswith(f"{owner}.") and earlier != key]
        if owner and last == "use" and lost and not owner.startswith("search."):
            message = f"replaces all of '{owner}', {lost[0]} before it, too: give --set {key} first"
            faults.append(Fault(f"--set {texts[place]}", 0, key, message))
    return faults


def _wrap(parts: list[str], node: Marked, below: Marked | None) -> Marked:
    """`node` under its key; a list on the way is repeated with the one item changed, because lists replace."""
    if not parts:
        return node
    head, rest = parts[0], parts[1:]
    if below is not None and isinstance(below.value, list) and head.isdecimal():
        items = list(below.value)
        if int(head) >= len(items):
            raise IndexError(f"there is no item {head}: the list has {len(items)}, counted from 0")
        item = _wrap(rest, node, items[int(head)])
        items[int(head)] = merge(items[int(head)], item) if rest and item.is_mapping and items[int(head)].is_mapping else item
        return Marked(items, node.origin)
    return Marked({head: _wrap(rest, node, below.get(head) if below is not None else None)}, node.origin)
