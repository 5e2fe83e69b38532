"""Manifest: the complete, checked description of an experiment.

It is laid together from competition.yaml, what it extends, its own keys and `--set` (layers), over defaults fitted to the
competition (defaults), and checked against plugins' signatures (checking). What of it changes weights is digest's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comp.catalog import Catalog, build_catalog
from comp.checking import Checker
from comp.combinations import check_blend, check_imported, check_model, check_required
from comp.defaults import Facts, imply_uses, read_facts, work_out_defaults
from comp.digest import compute_digest, hash_weights, list_specs, metric_selects, pick_relevant
from comp.errors import Fault, ManifestError, PluginError
from comp.keys import MANIFEST_KEYS
from comp.layers import Layer, Read, find_overridden, lay_on, read_chain, read_competition, read_set, show_path
from comp.marked import DEFAULT, Marked, Origin, list_origins, mark, parse_yaml, unmark, write_yaml
from comp.overlay import merge
from comp.project import Project
from comp.source import REQUIRED

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """An experiment, every key with its final value.

    Attributes:
        values: nested plain data; every plugin's own defaults are filled in. `stages` holds what each stage overrides.
        stages: at least one (none for a blend or imported predictions); each has name, epochs, freeze, start and, in full,
            image, augment, mix, sampler, loss, objective, optimizer, scheduler and train (with `epochs` of the stage).
        origins: dotted key -> where its value comes from; a key that is missing comes from a plugin's signature.
        parents: what it extends, nearest first (`exp041@3f9a1c20`).
        resolver: what it was resolved with.
        stated: what it was resolved from.
    """

    name: str
    project: Project
    catalog: Catalog
    values: dict[str, Any]
    stages: list[dict[str, Any]]
    origins: dict[str, Origin] = field(repr=False)
    parents: tuple[str, ...]
    resolver: Resolver = field(repr=False)
    stated: Marked = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.project.experiments / self.name

    @property
    def is_blend(self) -> bool:
        return self.values.get("blend") is not None

    @property
    def is_imported(self) -> bool:
        return self.values.get("imported") is not None

    def selects_epoch(self) -> bool:
        """Whether the metric has a say in the weights, so that another metric would train anew."""
        return metric_selects(self.stages)

    def relevant(self) -> dict[str, Any]:
        """What of it changes weights."""
        return pick_relevant(self.values, self.stages)

    def digest(self, contents: Mapping[str, str]) -> str:
        """8 hex digits that name the run.

        Args:
            contents: name -> hash of whatever training reads: tables, folds, weight files, members of a blend.
        """
        return compute_digest(self.catalog, self.relevant(), contents)

    def weight_hashes(self) -> dict[str, str]:
        """`model.pretrained` -> SHA-256 of the file, for every file that an argument of the relevant part names.

        Raises:
            WeightsError: there is no such file.
        """
        return hash_weights(self.catalog, {**self.values, "stages": self.stages}, self.project.root)

    def plugin_hashes(self) -> dict[str, str]:
        """`kind.name` -> hash of the sources of every plugin it uses (built-in ones only in a checkout)."""
        return self.catalog.source_hashes(list_specs({**self.values, "stages": self.stages}))

    def with_values(self, values: Mapping[str, Any]) -> Manifest:
        """The same with other top-level keys, checked anew.

        Raises:
            ManifestError: all faults.
        """
        tree = mark({**self.values, **values}, Origin("as given"))
        made = _build(Context(self.project, self.name, self.resolver, self.parents), tree)
        changed = {key for key in values if made.values.get(key) != self.values.get(key)}
        kept = {key: origin for key, origin in self.origins.items() if key.partition(".")[0] not in changed}
        return replace(made, origins={**made.origins, **kept})

    def vary(self, sets: Sequence[str], *, library: bool = False) -> Manifest:
        """The same with more `--set`s laid over it, checked anew; no file is read again.

        Raises:
            ManifestError: all faults.
        """
        stated, faults = lay_sets(self.resolver, self.stated, sets)
        return _build(Context(self.project, self.name, self.resolver, self.parents), stated, faults, library=library)

    def parse_plugin(self, kind: str, text: str) -> dict[str, Any]:
        """A plugin as a command line names it, `f1` or `{use: f1, average: micro}`, resolved as in a manifest.

        Raises:
            ManifestError: there is none, or its arguments are at fault.
        """
        shown = f"{kind} {text!r}"
        node, faults = parse_yaml(text, shown)
        given = None if node is None else unmark(node)
        checker = Checker(self.catalog, Marked({}, Origin(shown)))
        spec = {} if faults else checker.check_spec((), kind, {"use": given} if isinstance(given, str) else given)
        if faults or checker.faults:
            raise ManifestError([*faults, *checker.faults])
        return spec

    def dump(self) -> str:
        """The resolved manifest as YAML, `format: 1` first; read again by what is pinned to it."""
        return write_yaml({"format": FORMAT, **self.values})

    def explain(self) -> list[tuple[str, Any, Origin]]:
        """(dotted key, value, origin) of every single value, in the manifest's order."""
        found = [(".".join(path), value) for path, value in _list_leaves(self.values)]
        return [(key, value, self.origins.get(key, DEFAULT)) for key, value in found]


def _list_leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _list_leaves(item, (*path, str(key)))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for position, item in enumerate(value):
            yield from _list_leaves(item, (*path, str(position)))
    else:
        yield path, value


# ---- loading -------------------------------------------------------------------------------------------------------------


def load_competition_file(project: Project) -> dict[str, Any]:
    """competition.yaml as plain data, its keys known.

    Raises:
        ManifestError: all faults.
    """
    values, faults = read_competition(project)
    if faults:
        raise ManifestError(faults)
    return unmark(values)


def load_manifest(
    project: Project, name: str, sets: Sequence[str] = (), folds: int | None = None, *, library: bool = False
) -> Manifest:
    """Read, resolve and check an experiment's manifest.

    Args:
        sets: `key=value` texts, laid over it in order.
        folds: the same as `split.folds=…`.
        library: also ask libraries behind families (timm, albumentations) for names and arguments; imports them.

    Raises:
        ManifestError: all faults at once.
        WorkspaceError: there is no such experiment.
        PluginError: two plugins of one kind bear the same name.
    """
    competition, faults = read_competition(project)
    chain = read_chain(project, name)
    faults += chain.faults
    resolver = Resolver(build_catalog(project, chain.folders), competition)
    stated = competition
    for layer in chain.layers:
        stated, found = lay_on(stated, layer, competition, resolver.implied)
        faults += found
    stated, found = lay_sets(resolver, stated, [*sets, *([] if folds is None else [f"split.folds={folds}"])])
    faults += found
    return _build(Context(project, name, resolver, tuple(chain.parents)), stated, faults, library=library)


def lay_sets(resolver: Resolver, stated: Marked, sets: Sequence[str]) -> Read:
    """What is stated with `key=value` texts laid over it in order."""
    faults = find_overridden(sets)
    for text in sets:
        values, found = read_set(text, lambda so_far=stated: resolver.resolve(so_far)[0])
        stated, useless = lay_on(stated, Layer(values), resolver.competition, resolver.implied)
        faults += [*found, *useless]
    return stated, faults


def load_resolved(project: Project, name: str, file: Path) -> Manifest:
    """What a run of an experiment resolved to, read back.

    Raises:
        ManifestError: the file is at fault, or names plugins that are gone.
    """
    competition, _ = read_competition(project)
    chain = read_chain(project, name, file)
    resolver = Resolver(build_catalog(project, chain.folders), competition)
    stated = chain.layers[-1].values
    return _build(Context(project, name, resolver, tuple(chain.parents)), stated, [*chain.faults])


@dataclass(frozen=True)
class Resolver:
    """Lays what is stated over the defaults that fit it."""

    catalog: Catalog
    competition: Marked

    @property
    def facts(self) -> Facts:
        return read_facts(_mapping(self.competition.get("task")), _mapping(self.competition.get("dataset")))

    @property
    def implied(self) -> dict[str, str]:
        return imply_uses(self.facts)

    def resolve(self, stated: Marked) -> tuple[Marked, Marked]:
        """(everything, the defaults in it)."""
        metric = _mapping(self.competition.get("metric")).get("use")
        defaults = mark(work_out_defaults(self.facts, unmark(stated), metric, self.default_of), DEFAULT)
        tree = merge(defaults, stated, implied=self.implied, keep_null=True)
        stages, train = tree.get("stages"), tree.get("train")
        if stages and isinstance(stages.value, list) and train and train.is_mapping:
            epochs = [unmark(item.value["epochs"]) for item in stages.value if item.get("epochs")]
            total = sum(count for count in epochs if isinstance(count, int) and count > 0)
            tree.value["train"] = merge(train, Marked({"epochs": Marked(max(total, 1), stages.origin)}, train.origin))
        return tree, defaults

    def default_of(self, kind: str, use: str, parameter: str) -> Any:
        try:
            plugin, _ = self.catalog.find(kind, use)
        except PluginError:
            return None
        found = {item.name: item.default for item in plugin.parameters}.get(parameter)
        return None if found is REQUIRED else found


@dataclass(frozen=True)
class Context:
    """Whose manifest is being made."""

    project: Project
    name: str
    resolver: Resolver
    parents: tuple[str, ...]


def _build(context: Context, stated: Marked, faults: Sequence[Fault] = (), *, library: bool = False) -> Manifest:
    """Resolve, check and assemble."""
    project, name, resolver = context.project, context.name, context.resolver
    tree, defaults = resolver.resolve(stated)
    checker = Checker(resolver.catalog, tree, library=library)
    checker.check_unknown()
    checker.check_keys(MANIFEST_KEYS)
    check_required(checker, show_path(project, project.competition_file))
    if stated.get("blend") and stated.value["blend"].value is not None:
        check_blend(checker, project, name, stated)
        stages = []
    elif stated.get("imported") and stated.value["imported"].value is not None:
        check_imported(checker, stated)
        stages = []
    else:
        check_model(checker)
        stages = checker.check_stages(defaults)
    if faults or checker.faults:
        raise ManifestError(_sort([*faults, *checker.faults]))
    values = {key: checker.values[key] for key in MANIFEST_KEYS if key in checker.values and key != "format"}
    if "stages" in tree.value:
        values["stages"] = unmark(tree.value["stages"])
    for train in [values["train"], *(stage["train"] for stage in stages)] if "train" in values else ():
        train["precision"] = str(train["precision"])
    origins = {".".join(path): origin for path, origin in list_origins(tree) if path}
    return Manifest(name, project, resolver.catalog, values, stages, origins, context.parents, resolver, stated)


def _mapping(node: Marked | None) -> dict[str, Any]:
    value = None if node is None else unmark(node)
    return value if isinstance(value, dict) else {}


def _sort(faults: Sequence[Fault]) -> list[Fault]:
    """Each once, by file as they first occur, then by line."""
    files = list(dict.fromkeys(str(fault.file) for fault in faults))
    return sorted(dict.fromkeys(faults), key=lambda fault: (files.index(str(fault.file)), fault.line))
