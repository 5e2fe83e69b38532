"""Checking: all that is wrong with a resolved manifest, each fault with its place, and its values in their final form.

Types and names of plugins' arguments are asked of signature, a library's own of families.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comp.catalog import Catalog
from comp.domains import find_domain_faults, split_settings
from comp.errors import Fault, PluginError
from comp.families import check_library
from comp.keys import (
    LIMITS,
    LISTS,
    MANIFEST_KEYS,
    PLAIN,
    SEARCH,
    SECTIONS,
    SLOTS,
    STAGE_KEYS,
    STAGE_PARAMETERS,
    Slot,
)  # fmt: skip
from comp.marked import Marked, unmark
from comp.overlay import merge
from comp.project import NAME, suggest
from comp.signature import check_arguments, check_values, coerce, coerce_values, fill_defaults, list_parameters, show
from comp.source import Parameter

Key = tuple[str, ...]


class Checker:
    """Walks one tree of values. `values` holds what passed, in the form that plugins and the engine are given."""

    def __init__(self, catalog: Catalog, tree: Marked, *, library: bool = False, prefix: Key = ()) -> None:
        self.catalog, self.tree, self.library, self.prefix = catalog, tree, library, prefix
        self.faults: list[Fault] = []
        self.values: dict[str, Any] = {}

    def note(self, path: Key, message: str) -> None:
        origin = self.tree.find(path).origin
        self.faults.append(Fault(origin.file, origin.line, ".".join([*self.prefix, *path]), message))

    # ---- keys ----

    def check_keys(self, keys: Sequence[str]) -> None:
        """Check each of these keys that the tree has, by what kind of key it is."""
        for key in keys:
            node = self.tree.get(key)
            if node is None or key == "stages":
                continue
            if key in SLOTS:
                self.values[key] = self._check_slot(key, SLOTS[key], unmark(node))
            elif key in SECTIONS:
                self.values[key] = self._check_section((key,), SECTIONS[key], unmark(node))
            elif key in LISTS:
                self.values[key] = self._check_list(key, LISTS[key], unmark(node))
            elif key == "search":
                self.values[key] = self._check_search(unmark(node))
        plain = [parameter for parameter in PLAIN if parameter.name in keys and self.tree.get(parameter.name) is not None]
        given = {parameter.name: unmark(self.tree.value[parameter.name]) for parameter in plain}
        self.values |= self._check_parameters((), plain, given, "the manifest")

    def check_unknown(self) -> None:
        for key in self.tree.value:
            if key not in MANIFEST_KEYS:
                self.note((key,), f"a manifest has no key {key!r}{suggest(key, MANIFEST_KEYS)}")

    def _check_section(self, path: Key, parameters: Sequence[Parameter], given: Any) -> dict[str, Any]:
        if not isinstance(given, dict):
            self.note(path, f"is {show(given)}; wanted a mapping such as {{{parameters[0].name}: …}}")
            return {}
        return self._check_parameters(path, parameters, given, repr(path[0]))

    def _check_list(self, key: str, parameters: Sequence[Parameter], given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list):
            self.note((key,), f"is {show(given)}; wanted a list such as [{{{parameters[0].name}: …}}]")
            return []
        return [self._check_section((key, str(i)), parameters, item) for i, item in enumerate(given)]

    def _check_search(self, given: Any) -> dict[str, Any]:
        if not isinstance(given, dict):
            return self._check_section(("search",), SEARCH, given)
        settings, domains = split_settings(given)
        for path, message in find_domain_faults(domains, settings):
            self.note(("search", *path), message)
        return self._check_section(("search",), SEARCH, settings) | domains

    def _check_parameters(
        self, path: Key, parameters: Sequence[Parameter], given: Mapping[str, Any], owner: str
    ) -> dict[str, Any]:
        faults = check_values(parameters, given, owner)
        for where, message in faults:
            self.note((*path, *where.split(".")), message)
        wrong = {where.split(".")[0] for where, _ in faults}
        good = {key: value for key, value in given.items() if key not in wrong}
        for key, value in good.items():
            self._check_limits((*path, key), value)
        return fill_defaults(parameters) | coerce_values([parameter for parameter in parameters if parameter.name in good], good)

    def _check_limits(self, path: Key, value: Any) -> None:
        low, high = LIMITS.get(".".join(path), (None, None))
        numbers = value if isinstance(value, list) else [value]
        if low is None or high is None:
            return
        for number in numbers:
            if isinstance(number, int | float) and not isinstance(number, bool) and not low <= number <= high:
                self.note(path, f"is {number}; wanted {low} or more" if number < low else f"is {number}; wanted {high} or less")
        if path[0] == "image" and "size" in path[-1] and isinstance(value, list) and len(value) != 2:
            self.note(path, f"has {len(value)} numbers; wanted [height, width]")

    # ---- plugins ----

    def _check_slot(self, key: str, slot: Slot, given: Any) -> Any:
        if slot.form == "list":
            if isinstance(given, list):
                return [self.check_spec((key, str(i)), slot.kind, item) for i, item in enumerate(given)]
            self.note((key,), f"is {show(given)}; wanted a list such as [{{use: …}}]")
            return []
        if slot.form == "optional" and given is None:
            return None
        if key == "loss" and is_per_target(given):
            return {target: self.check_spec((key, target), slot.kind, item) for target, item in given.items()}
        return self.check_spec((key,), slot.kind, given)

    def check_spec(self, path: Key, kind: str, given: Any) -> dict[str, Any]:
        """One `{use: …, arguments}`, its defaults filled in."""
        use = given.get("use") if isinstance(given, dict) else given
        if not isinstance(given, dict) or not isinstance(use, str):
            named = isinstance(use, str) and not isinstance(given, dict)
            self.note(path, f"is {show(given)}; wanted a mapping such as {{use: {use if named else '…'}}}")
            return {"use": ""}
        try:
            plugin, name = self.catalog.find(kind, use)
        except PluginError as error:
            self.note((*path, "use"), str(error))
            return dict(given)
        parameters = list_parameters(plugin)
        never_null = {parameter.name for parameter in parameters if "None" not in parameter.annotation}
        arguments = {key: value for key, value in given.items() if key != "use" and (value is not None or key not in never_null)}
        faults = check_arguments(plugin, arguments)
        if self.library and not faults:
            faults = check_library(self.catalog, plugin, name, arguments)
        for where, message in faults:
            self.note((*path, *where.split(".")), message)
        if faults:
            return {"use": use, **arguments}
        for key, value in arguments.items():
            self._check_limits((*path, key), value)
        values = _as_plain(fill_defaults(parameters) | coerce(plugin, arguments))
        nested = {parameter.name: self._check_nested(path, plugin.kind, parameter, values[parameter.name])
                  for parameter in parameters if parameter.nests}  # fmt: skip
        return {"use": use, **values, **nested}

    def _check_nested(self, path: Key, kind: str, parameter: Parameter, given: Any) -> Any:
        """The value of a parameter that is annotated Spec, list[Spec] or dict[str, Spec]: each spec as check_spec returns it."""
        path = (*path, parameter.name)
        if isinstance(given, list):
            return [self.check_spec((*path, str(i)), kind, item) for i, item in enumerate(given)]
        if "dict[" in parameter.annotation and is_per_target(given):
            return {key: self.check_spec((*path, key), kind, item) for key, item in given.items()}
        return None if given is None else self.check_spec(path, kind, given)

    # ---- stages ----

    def check_stages(self, defaults: Marked) -> list[dict[str, Any]]:
        """Every stage in full: its own keys over the run's."""
        node = self.tree.get("stages")
        if node is None or node.value is None:
            only = {"name": "train", "epochs": self.values["train"].get("epochs")}
            return [fill_defaults(STAGE_PARAMETERS) | only | self._shared()]
        if not isinstance(node.value, list) or not node.value:
            self.note(("stages",), f"is {show(unmark(node))}; wanted a list such as [{{name: head, epochs: 3}}]")
            return []
        stages = [self._check_stage(i, item, defaults) for i, item in enumerate(node.value)]
        names = [stage.get("name") for stage in stages]
        for i, name in enumerate(names):
            if name in names[:i]:
                self.note(("stages", str(i), "name"), f"{name!r} names two stages")
        return stages

    def _shared(self) -> dict[str, Any]:
        return {key: self.values[key] for key in STAGE_KEYS if key in self.values}

    def _check_stage(self, number: int, node: Marked, defaults: Marked) -> dict[str, Any]:
        path = ("stages", str(number))
        if not node.is_mapping:
            self.note(path, f"is {show(unmark(node))}; wanted a mapping such as {{name: head, epochs: 3}}")
            return {}
        own_names = [parameter.name for parameter in STAGE_PARAMETERS]
        for key in node.value:
            if key not in (*own_names, *STAGE_KEYS):
                self.note((*path, key), f"a stage has no key {key!r}{suggest(key, [*own_names, *STAGE_KEYS])}")
        train = node.get("train")
        if train and train.get("epochs"):
            self.note((*path, "train", "epochs"), "a stage's `epochs` stands in the stage itself, not in its `train`")
        own = {key: unmark(node.value[key]) for key in own_names if key in node.value and node.value[key].value is not None}
        stage = self._check_parameters(path, STAGE_PARAMETERS, own, "a stage")
        self._check_stage_start(path, number, stage)
        changed = {key: item for key, item in node.value.items() if key in STAGE_KEYS}
        below = Marked({key: item for key, item in self.tree.value.items() if key in STAGE_KEYS}, node.origin)
        tree = merge(below, Marked(changed, node.origin), floor=defaults)
        inner = Checker(self.catalog, tree, library=self.library, prefix=path)
        inner.check_keys(list(changed))
        seen = {(fault.line, fault.message) for fault in self.faults}
        self.faults += [fault for fault in inner.faults if (fault.line, fault.message) not in seen]
        stage |= self._shared() | inner.values
        stage["train"] = {**stage.get("train", {}), "epochs": stage.get("epochs")}
        return stage

    def _check_stage_start(self, path: Key, number: int, stage: Mapping[str, Any]) -> None:
        name, epochs = stage.get("name"), stage.get("epochs")
        if isinstance(name, str) and not NAME.fullmatch(name):
            self.note((*path, "name"), f"is {name!r}; wanted small letters, digits and _, a letter first")
        if isinstance(epochs, int) and epochs < 1:
            self.note((*path, "epochs"), f"is {epochs}; wanted 1 or more")
        if number == 0 and stage.get("start") == "best":
            self.note((*path, "start"), "the first stage has none before it to start from")


def is_per_target(given: Any) -> bool:
    """A loss each for several targets."""
    return bool(given) and isinstance(given, dict) and all(key != "use" and isinstance(item, dict) for key, item in given.items())


def _as_plain(value: Any) -> Any:
    """Plain data again, for YAML, JSON and process boundaries: paths as text, tuples as lists."""
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_plain(item) for item in value]
    return value.as_posix() if isinstance(value, Path) else value
