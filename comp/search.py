"""Search: the space that a manifest's `search:` spans, flat as searchers want it, and what a point of it says to a manifest.

Which point is tried next is Ray Tune's business; what trials left on disk is trials'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from comp.domains import (
    DOMAINS,
    Choice,
    Derived,
    Range,
    Trail,
    find_endless,
    list_derived,
    list_extremes,
    read_tree,
    split_settings,
)  # fmt: skip
from comp.errors import Fault, ManifestError, WorkspaceError
from comp.inline import to_yaml
from comp.keys import RangeKind
from comp.manifest import Manifest, load_manifest
from comp.points import Drawn, count_points, join_points, list_items, list_points, pick, work_out
from comp.project import Project, hash_json
from comp.signature import show

MOST_OF_A_GRID = 10_000


@dataclass(frozen=True)
class Settings:
    """How a search goes on. `grace`: epochs before a trial may be pruned; `reduction`: of ASHA, one trial in how many goes on."""

    algorithm: Literal["random", "grid", "tpe", "hyperopt"]
    pruner: Literal["asha", "median", "none"]
    trials: int
    seed: int
    grace: int
    reduction: int


@dataclass(frozen=True)
class Parameter:
    """One number to be drawn.

    Attributes:
        name: `optimizer.lr`, `loss` (a choice), `loss.0.gamma` (what its first option holds).
        kind: of a choice the number of the option is drawn, from 0 to `options` - 1.
        low, high: both included.
        step: values are low, low + step, ...; None: any.
        condition: (name of a choice, number of an option): it is drawn only where that option was; None: always.
    """

    name: str
    kind: RangeKind | Literal["choice"]
    options: int = 0
    low: float = 0
    high: float = 0
    step: float | None = None
    condition: tuple[str, int] | None = None


@dataclass(frozen=True)
class Space:
    """What is varied.

    Attributes:
        settings: of the search.
        domains: dotted manifest key -> its domain as the manifest states it, plain data.
        trees: the same, read.
        fixed: the manifest's values, which formulas may name.
    """

    settings: Settings
    domains: dict[str, Any]
    trees: dict[str, Any]
    fixed: dict[str, Any]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """A choice before what its options hold."""
        return tuple(found for key, tree in self.trees.items() for found in _list_parameters(tree, key, None))

    def settle(self, drawn: Drawn) -> dict[str, Any]:
        """Dotted manifest key -> final value. What was drawn for parameters that have no place in it is passed over.

        Raises:
            WorkspaceError: a formula has no value at this point.
        """
        values = {key: pick(tree, key, drawn) for key, tree in self.trees.items()}
        return work_out(values, {}, self.fixed)

    def grid(self) -> list[dict[str, int | float]]:
        """Every combination, once each: of choices, whole numbers and ranges with a step.

        Raises:
            WorkspaceError: a range has no step, or there are more than 10,000.
        """
        if endless := find_endless(self.trees):
            raise WorkspaceError(f"search.{'.'.join(endless[0][0])}: {endless[0][1]}.")
        count = math.prod(count_points(tree) for tree in self.trees.values())
        if count > MOST_OF_A_GRID:
            raise WorkspaceError(f"the grid has {count:,} combinations; wanted {MOST_OF_A_GRID:,} at most: widen its steps.")
        return join_points([list_points(tree, key) for key, tree in self.trees.items()])


def open_space(manifest: Manifest) -> Space:
    """Raises WorkspaceError: it has no `search`."""
    given = manifest.values.get("search")
    if given is None:
        wanted = "search: {optimizer.lr: {loguniform: [1.0e-5, 1.0e-2]}}"
        raise WorkspaceError(f"{manifest.name} has no `search`: say in its manifest what to vary, as in {wanted}.")
    settings, domains = split_settings(given)
    if settings.get("seed") is None:
        settings["seed"] = (manifest.values["seeds"] or [manifest.values["seed"]])[0]
    trees = {key: read_tree(value) for key, value in domains.items()}
    return Space(Settings(**settings), domains, trees, manifest.values)


def to_sets(values: Mapping[str, Any]) -> list[str]:
    """`key=value` texts that make a manifest one trial's: what settle gave, exactly, and no search any more."""
    return ["search=null", *state_values(values)]


def state_values(values: Mapping[str, Any]) -> list[str]:
    """`key=value` texts of what settle gave."""
    # A key before what lies in it, and `use` before its arguments, because another `use` replaces them.
    ordered = sorted(values, key=lambda key: (key.count("."), not key.endswith(".use")))
    return [f"{key}={to_yaml(values[key])}" for key in ordered]


# ---- one point -----------------------------------------------------------------------------------------------------------


def _list_parameters(tree: Any, name: str, condition: tuple[str, int] | None) -> Iterator[Parameter]:
    if isinstance(tree, Range):
        yield Parameter(name, tree.kind, 0, tree.low, tree.high, tree.step, condition)
    elif isinstance(tree, Choice):
        yield Parameter(name, "choice", len(tree.options), condition=condition)
        for i, option in enumerate(tree.options):
            yield from _list_parameters(option, f"{name}.{i}", (name, i))
    else:
        for key, item in list_items(tree):
            yield from _list_parameters(item, f"{name}.{key}", condition)


# ---- checking ------------------------------------------------------------------------------------------------------------


def check_space(project: Project, name: str, sets: Sequence[str]) -> None:
    """Try the space of an experiment before any of it is trained.

    Raises:
        ManifestError: as demand_space, and faults of the manifest itself.
        WorkspaceError: there is no `search`.
    """
    manifest = load_manifest(project, name, sets, library=True)
    open_space(manifest)
    demand_space(manifest)


def demand_space(manifest: Manifest) -> None:
    """Try every option of every choice and both ends of every range, one at a time; without `search` there is nothing to try.

    Raises:
        ManifestError: all that a manifest would refuse, or that changes nothing, with its place in `search`.
    """
    if manifest.values.get("search") is not None:
        space = open_space(manifest)
        if faults := [fault for key in space.trees for fault in _Prober(manifest, space).find_faults(key)]:
            raise ManifestError(faults)


@dataclass(frozen=True)
class _Prober:
    """Holds a manifest against single points of its space."""

    manifest: Manifest
    space: Space

    def find_faults(self, key: str) -> list[Fault]:
        """Of one key, at each of its extremes; where it lies in a key that is drawn, too, under each of that one's."""
        points = list(list_extremes(self.space.trees[key]))
        found: dict[Trail, list[Fault]] = {path: [] for path, _ in points}
        made: list[set[str]] = []
        for around in self.list_contexts(key):
            digests = set()
            for path, value in points:
                made_of, faults = self.lay({**around, key: value}, key)
                digests |= made_of
                found[path] += faults
            made.append(digests)
        faults = _place_faults(self.manifest, key, found)
        if not faults and len(points) > 1 and all(len(digests) == 1 for digests in made) and self.is_idle(key, points):
            faults = [_fault_at(self.manifest, (key,), "changes nothing: every value of it trains the same")]
        return faults

    def list_contexts(self, key: str) -> list[dict[str, Any]]:
        """What other keys must be for this one to mean something: each extreme of the nearest that it lies in."""
        owners = [other for other in self.space.trees if other != key and key.startswith(f"{other.removesuffix('.use')}.")]
        owner = max(owners, key=len, default=None)
        if owner is None:
            return [{}]
        contexts = [{owner: value} for _, value in list_extremes(self.space.trees[owner])]
        return [around for around in contexts if not self.lay(around, owner)[1]] or [{}]

    def lay(self, values: dict[str, Any], key: str) -> tuple[set[str], list[Fault]]:
        """(hashes of what is trained, faults) with these values; with formulas in them, wherever what they name varies."""
        digests, faults = set(), []
        for corner in self.list_corners(self.space.trees[key]):
            try:
                settled = work_out(values, corner, self.space.fixed)
                varied = self.manifest.vary(to_sets(settled), library=True)
                digests.add(hash_json(varied.relevant()))
            except WorkspaceError as error:
                faults.append(Fault("", 0, "", str(error).partition(": ")[2]))
            except ManifestError as error:
                faults += error.faults
        return digests, faults

    def list_corners(self, tree: Any) -> list[dict[str, Any]]:
        names = [name for _, _, derived in list_derived(tree, ()) for name in derived.names]
        extremes = {key: list_extremes(other) for key, other in self.space.trees.items()} if names else {}
        first = {key: points[0][1] for key, points in extremes.items()}
        owners = [key for key in extremes if any(name == key or name.startswith(f"{key}.") for name in names)]
        return [{**first, owner: value} for owner in owners for _, value in extremes[owner]] or [first]

    def is_idle(self, key: str, points: Sequence[tuple[Trail, Any]]) -> bool:
        """Whether it trains the same with all other keys at their last values, too (`train.monitor` wants patience)."""
        last = {other: list_extremes(tree)[-1][1] for other, tree in self.space.trees.items() if other != key}
        return len(set().union(*(self.lay({**last, key: value}, key)[0] for _, value in points))) <= 1


def _place_faults(manifest: Manifest, key: str, found: Mapping[Trail, list[Fault]]) -> list[Fault]:
    """Each fault where the search states what it comes from: at the key, where all its values share it."""
    shared = [{(fault.path, fault.message) for fault in faults} for faults in found.values()]
    of_all = set.intersection(*shared) if len(shared) > 1 else set()
    placed = []
    for path, faults in found.items():
        for fault in faults:
            where: Trail = (key,) if (fault.path, fault.message) in of_all else (key, *path)
            if fault.path == key or fault.path.startswith(f"{key}."):
                where, message = _follow(where, fault.path[len(key) + 1 :]), fault.message
            else:
                message = f"makes the manifest faulty: {fault.path}: {fault.message}" if fault.path else fault.message
            placed.append(_fault_at(manifest, where, message))
    return list({(fault.line, fault.message): fault for fault in reversed(placed)}.values())[::-1]


def _follow(where: Trail, rest: str) -> Trail:
    """Where in the search a key below the varied one stands: `where` as far as it leads there, then what is left of the way."""
    ways, left = list(where[:1]), [part for part in rest.split(".") if part]
    parts = list(where[1:])
    while parts:
        if parts[0] in DOMAINS:
            ways, parts = [*ways, *parts[:2]], parts[2:]
        elif left and parts[0] == left[0]:
            ways, parts, left = [*ways, parts[0]], parts[1:], left[1:]
        else:
            break
    return (*ways, *left)


def _fault_at(manifest: Manifest, path: Trail, message: str) -> Fault:
    path = ("search", *(part for part in path if part))
    ways = (".".join(path[:end]) for end in range(len(path), 0, -1))
    origin = next(manifest.origins[way] for way in ways if way in manifest.origins)
    return Fault(origin.file, origin.line, ".".join(path), message)


# ---- in words ------------------------------------------------------------------------------------------------------------


def describe(space: Space) -> str:
    """What is varied, on one line: `optimizer.lr 1e-05 to 0.01 (log), loss focal (gamma 1 to 3) | ldam`."""
    return ", ".join(f"{key} {_describe(tree)}" for key, tree in space.trees.items())


def _describe(tree: Any) -> str:
    if isinstance(tree, Range):
        ends = f"{tree.low:g} to {tree.high:g}"
        step = f" by {tree.step:g}" if tree.step is not None else ""
        return ends + step + (" (log)" if tree.kind.startswith("log") else "")
    if isinstance(tree, Choice):
        return " | ".join(_describe(option) for option in tree.options)
    if isinstance(tree, Derived):
        return f"= {tree.text}"
    if isinstance(tree, dict) and "use" in tree:
        inner = [f"{key} {_describe(item)}" for key, item in tree.items() if key != "use"]
        return tree["use"] + (f" ({', '.join(inner)})" if inner else "")
    return to_yaml(tree) if not isinstance(tree, dict | list) else show(tree)
