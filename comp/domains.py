"""Domains: what a key of `search:` may be drawn from, read from a manifest's plain data, and all that is wrong with it.

A tree is what stands at a key: Range, Choice or Derived, or, inside an option, plain values that may hold these. What is drawn,
and how the keys bear it, is search's business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comp.formula import Formula, read_formula
from comp.keys import COMPETITION_KEYS, MANIFEST_KEYS, RANGES, SEARCH, RangeKind
from comp.project import suggest
from comp.signature import show

Trail = tuple[str, ...]
Note = Callable[[Trail, str], None]
STEPPED = ("uniform", "int")
DOMAINS = (*RANGES, "choice", "formula")
WANTED = "wanted {uniform: [a, b]}, {loguniform: [a, b]}, {int: [a, b]}, {logint: [a, b]}, {choice: [...]} or {formula: ...}"

UNMEASURED = "tta", "post", "aggregate"
IDLE = "format", "about", "extends", "search", "also", "logger"
NO_MODEL = "blend", "imported"
SHARED = "seeds", "train.devices"

PART = re.compile(r"'[^']*'|\"[^\"]*\"|([A-Za-z_]\w*(?:\.\w+)+)|((?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)")
"""In a formula: a text, which stays; a dotted key; a number with a fraction."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` apart, counted from `low`, where it is given."""

    kind: RangeKind
    low: float
    high: float
    step: float | None = None

    @property
    def whole(self) -> bool:
        return self.kind in ("int", "logint")

    @property
    def steps(self) -> int:
        """From the least number to the greatest that is drawn."""
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9)

    @property
    def top(self) -> float:
        """The greatest number that is drawn."""
        return self.high if self.step is None else float(f"{self.low + self.steps * self.step:.12g}")


@dataclass(frozen=True)
class Choice:
    """One of several trees."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Derived:
    """A number worked out from others. `names`: their dotted keys."""

    text: str
    names: tuple[str, ...]
    formula: Formula = field(compare=False)
    meanings: Mapping[str, str | float]
    """What the formula's own names stand for: a dotted key, or a number."""

    def evaluate(self, value_of: Callable[[str], Any]) -> Any:
        """Raises ValueError as Formula.evaluate, and whatever value_of raises."""
        values = {name: value_of(meant) if isinstance(meant, str) else meant for name, meant in self.meanings.items()}
        try:
            return self.formula.evaluate(values)
        except ValueError as error:
            raise ValueError(self._name_keys(str(error))) from None

    def _name_keys(self, text: str) -> str:
        return re.sub(r"\b_part\d+\b", lambda match: str(self.meanings[match[0]]), text)


def is_domain(value: Any) -> bool:
    return isinstance(value, dict) and "use" not in value and any(key in DOMAINS for key in value)


def split_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in `search:` as (settings, domains); null is as good as not there.

    `seed` is a setting, and with a domain the manifest's own key.
    """
    names = {parameter.name for parameter in SEARCH}
    stated = {key: value for key, value in given.items() if value is not None}
    settings = {key: value for key, value in stated.items() if key in names and not (key in MANIFEST_KEYS and is_domain(value))}
    return settings, {key: value for key, value in stated.items() if key not in settings}


# ---- reading -------------------------------------------------------------------------------------------------------------


def read_tree(value: Any) -> Any:
    """The tree of what passed find_domain_faults."""
    return _read(value, (), lambda path, message: None)


def _read(value: Any, path: Trail, note: Note) -> Any:
    """A tree; of what is at fault, None."""
    if is_domain(value):
        return _read_domain(value, path, note)
    if isinstance(value, dict):
        return {key: _read(item, (*path, key), note) for key, item in value.items()}
    return [_read(item, (*path, str(i)), note) for i, item in enumerate(value)] if isinstance(value, list) else value


def _read_domain(value: dict[str, Any], path: Trail, note: Note) -> Any:
    kinds = [key for key in value if key in DOMAINS]
    kind, strange = kinds[0], [key for key in value if key not in (*DOMAINS, "step")]
    if len(kinds) > 1:
        return note(path, f"is {' and '.join(kinds)} at once; wanted one of them")
    if strange:
        return note((*path, strange[0]), f"is no part of a domain{suggest(strange[0], ('step',))}; a range may have a step")
    if "step" in value and kind not in STEPPED:
        return note((*path, "step"), f"goes with {' or '.join(STEPPED)}, not with {kind}")
    if kind == "choice":
        return _read_choice(value[kind], (*path, kind), note)
    if kind == "formula":
        return _read_formula(value[kind], (*path, kind), note)
    return _read_range(kind, value, path, note)


def _read_choice(options: Any, path: Trail, note: Note) -> Choice | None:
    if not isinstance(options, list) or not options:
        return note(path, f"is {'empty' if options == [] else show(options)}; wanted a list of options")
    for i, option in enumerate(options):
        if any(option == other and type(option) is type(other) for other in options[:i]):
            note((*path, str(i)), f"{show(option)} stands twice")
    return Choice(tuple(_read(option, (*path, str(i)), note) for i, option in enumerate(options)))


def _read_range(kind: RangeKind, value: Mapping[str, Any], path: Trail, note: Note) -> Range | None:
    ends, step = value[kind], value.get("step")
    made = Range(kind, 0, 1)
    wanted = int if made.whole else (int, float)
    if not isinstance(ends, list) or len(ends) != 2 or not all(_is_number(end, wanted) for end in ends):
        return note((*path, kind), f"is {show(ends)}; wanted [least, greatest], two {'whole ' if made.whole else ''}numbers")
    low, high = ends if made.whole else map(float, ends)
    if low >= high:
        return note((*path, kind), f"is {show(ends)}, an empty range; wanted the least first, then a greater number")
    if kind.startswith("log") and low <= 0:
        return note((*path, kind), f"begins at {show(ends[0])}, which has no logarithm; wanted a least number above 0")
    if step is not None and (not _is_number(step, wanted) or not 0 < step <= high - low):
        wished = f"wanted a {'whole ' if made.whole else ''}number above 0, {show(high - low)} at most"
        return note((*path, "step"), f"is {show(step)}; {wished}")
    return Range(kind, low, high, step)


def _is_number(value: Any, wanted: Any) -> bool:
    return isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value)


def _read_formula(text: Any, path: Trail, note: Note) -> Derived | None:
    if not isinstance(text, str):
        return note(path, f"is {show(text)}; wanted arithmetic over keys, such as 10 * optimizer.lr")
    meanings: dict[str, str | float] = {}

    def replace(match: re.Match[str]) -> str:
        if match[1] is None and match[2] is None:
            return match[0]
        meanings[name := f"_part{len(meanings)}"] = match[1] or float(match[2])
        return name

    try:
        formula = read_formula(PART.sub(replace, text))
    except ValueError:
        return note(path, f"{text!r} is no formula such as 10 * optimizer.lr")
    meanings |= {name: name for name in formula.names if name not in meanings}
    names = tuple(meant for meant in meanings.values() if isinstance(meant, str))
    if strange := [name for name in names if name.partition(".")[0] not in MANIFEST_KEYS]:
        return note(path, f"names {strange[0]!r}, which is no key of a manifest{suggest(strange[0], MANIFEST_KEYS)}")
    return Derived(text, names, formula, meanings)


# ---- checking ------------------------------------------------------------------------------------------------------------


def find_domain_faults(domains: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[Trail, str]]:
    """All that is wrong by itself with the domains of a `search:`: (path in it, message) each."""
    faults: list[tuple[Trail, str]] = []
    trees = {}
    for key, value in domains.items():
        why = refuse_key(key)
        if why or not is_domain(value):
            faults.append(((key,), why or f"is {show(value)}; {WANTED}"))
            continue
        found: list[tuple[Trail, str]] = []
        trees[key] = _read(value, (key,), lambda path, message, found=found: found.append((path, message)))
        faults += found
        if key == "train":
            options = [path for path, inner in _walk(trees[key], (key,)) if isinstance(inner, dict) and "devices" in inner]
            faults += [((*path, "devices"), refuse_key("train.devices")) for path in options]
    if not domains:
        faults.append(((), "names no key to vary; wanted, for instance, optimizer.lr: {loguniform: [1.0e-5, 1.0e-2]}"))
    faults += find_circles(trees)
    return faults + (find_endless(trees) if settings.get("algorithm") == "grid" else [])


def refuse_key(key: str) -> str:
    """Why a key may not be varied; nothing where it may."""
    first = key.partition(".")[0]
    if first not in MANIFEST_KEYS:
        settings = [parameter.name for parameter in SEARCH]
        near = suggest(key, [*settings, *MANIFEST_KEYS]) or f" (the settings are {', '.join(settings)})"
        return f"is neither a setting of a search nor a key of a manifest{near}"
    if not all(key.split(".")):
        return "is no dotted key such as optimizer.lr"
    if first in COMPETITION_KEYS:
        return f"{first!r} is what the competition holds fixed: scores of trials that differ in it cannot be compared"
    if key in SHARED:
        return f"{key!r} is the same in all trials: it says how much of the cluster each gets, or how often it trains"
    if first in UNMEASURED:
        return f"a trial is measured on the raw outputs for held-out rows, which {first!r} does not change"
    if first in IDLE:
        return f"{first!r} changes nothing that a trial could measure"
    return f"{first!r} trains nothing that could be searched" if first in NO_MODEL else ""


def list_derived(tree: Any, where: Trail) -> Iterator[tuple[str, Trail, Derived]]:
    """(dotted key of its value, path in the search, formula) of each formula in a tree."""
    for path, inner in _walk(tree, where):
        if isinstance(inner, Derived):
            options = [i + 1 for i, part in enumerate(path) if part == "choice"]
            kept = [part for i, part in enumerate(path) if part != "choice" and i not in options]
            yield ".".join(kept), path, inner


def _walk(tree: Any, path: Trail) -> Iterator[tuple[Trail, Any]]:
    yield path, tree
    if isinstance(tree, Choice):
        children: Any = ((("choice", str(i)), option) for i, option in enumerate(tree.options))
    elif isinstance(tree, dict):
        children = (((key,), item) for key, item in tree.items())
    else:
        children = (((str(i),), item) for i, item in enumerate(tree)) if isinstance(tree, list) else ()
    for step, item in children:
        yield from _walk(item, (*path, *step))


def find_circles(trees: Mapping[str, Any]) -> list[tuple[Trail, str]]:
    """Formulas that need their own value."""
    derived = [found for key, tree in trees.items() for found in list_derived(tree, (key,))]
    faults = []
    for key, path, formula in derived:
        reached: set[str] = set()
        waiting = list(formula.names)
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += [other for at, _, one in derived if at == name for other in one.names]
        if key in reached:
            faults.append(((*path, "formula"), f"{formula.text!r} goes in a circle: it needs its own value"))
    return faults


def find_endless(trees: Mapping[str, Any]) -> list[tuple[Trail, str]]:
    """Ranges that a grid cannot count."""
    ranges = [(path, inner) for key, tree in trees.items() for path, inner in _walk(tree, (key,)) if isinstance(inner, Range)]
    wanted = "a grid counts values: give it a step, or a choice of values"
    return [((*path, inner.kind), wanted) for path, inner in ranges if not inner.whole and inner.step is None]


def list_extremes(tree: Any, path: Trail = ()) -> Sequence[tuple[Trail, Any]]:
    """(path in the search, value) of both ends of a range and of every option; of a container, one of them changed at a time.

    Formulas are left in the values.
    """
    if isinstance(tree, Range):
        ends = (int(tree.low), int(tree.top)) if tree.whole else (tree.low, tree.top)
        return [((*path, tree.kind, str(i)), end) for i, end in enumerate(ends)]
    if isinstance(tree, Choice):
        return [found for i, option in enumerate(tree.options) for found in list_extremes(option, (*path, "choice", str(i)))]
    if not isinstance(tree, dict | list):
        return [(path, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    inner = {key: list_extremes(item, (*path, str(key))) for key, item in items}
    first = {key: found[0][1] for key, found in inner.items()}
    changed = [(where, {**first, key: value}) for key, found in inner.items() for where, value in found[1:]]
    every = [(path, first), *changed]
    return every if isinstance(tree, dict) else [(where, list(values.values())) for where, values in every]
