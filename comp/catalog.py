"""Catalog: which plugins there are, found without importing them; one is imported when a manifest uses it.

Sources, in this order: built-in, installed packages (entry points `comp.plugins`), the workspace's plugins/, the folder of an
experiment and of those it extends. What a file says is read in source, arguments are checked in signature.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from comp.api import KINDS
from comp.closure import hash_sources
from comp.errors import CompError, PluginError
from comp.project import Project, built_in_folder, examples_folder, forget_user_modules, runs_from_checkout, suggest
from comp.signature import coerce_values, list_parameters
from comp.source import REQUIRED, Broken, Parameter, Plugin, read_source

__all__ = ["REQUIRED", "Broken", "Catalog", "Parameter", "Plugin", "build_catalog"]


@dataclass
class Catalog:
    """Every plugin that a manifest of this experiment may use.

    Attributes:
        plugins: (kind, name) -> plugin.
        broken: files, and plugins in files, that cannot be used, and why.
    """

    project: Project | None = None
    plugins: dict[tuple[str, str], Plugin] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    kinds = KINDS

    def of_kind(self, kind: str) -> list[Plugin]:
        return [plugin for plugin in self.plugins.values() if plugin.kind == kind]

    def find(self, kind: str, use: str) -> tuple[Plugin, str | None]:
        """The plugin that `use` names, and for a family by prefix the library's name (`A.HorizontalFlip`: HorizontalFlip).

        Raises:
            PluginError: there is none; says which is near, and whether a broken file is the reason.
        """
        plugin = self.plugins.get((kind, use))
        if plugin and not plugin.prefix:
            return plugin, None
        for family in self.of_kind(kind):
            if family.prefix and use.startswith(family.prefix) and use != family.prefix:
                return family, use.removeprefix(family.prefix)
        labels = [plugin.label for plugin in self.of_kind(kind)]
        near = suggest(use, (label for label in labels if not label.endswith("…")))
        message = f"there is no {kind} {use!r}" + (near or f" (there are: {', '.join(labels) or 'none'})")
        reasons = [f"{row.file}: {row.message}" for row in self.broken if row.file.stem == use or f"{use!r}" in row.message]
        raise PluginError("; ".join([message, *reasons]))

    def load(self, plugin: Plugin) -> Callable[..., Any]:
        """The function or class itself; imports its module.

        Raises:
            PluginError: the module cannot be imported.
        """
        return getattr(self.load_module(plugin), plugin.name)

    def load_module(self, plugin: Plugin) -> Any:
        of_user = plugin.module.startswith("comp.user.")
        if of_user and self.project:
            self.project.activate()
            self._forget_if_changed(plugin)
        try:
            module = importlib.import_module(plugin.module)
        except CompError:
            raise
        except Exception as error:
            raise PluginError(f"{plugin.file}{_line_in(error, plugin.file)} cannot be imported: {_say(error)}") from error
        if of_user:
            vars(module).setdefault("__comp_sources__", self._hash(plugin))
        return module

    def _forget_if_changed(self, plugin: Plugin) -> None:
        """In a process that lives on (a notebook), edited code must be the code that runs: the digest names it."""
        module = sys.modules.get(plugin.module)
        if module is not None and vars(module).get("__comp_sources__") != self._hash(plugin):
            forget_user_modules()
            # A .pyc is taken for fresh where the edit fell in the same second and kept the length.
            Path(importlib.util.cache_from_source(str(plugin.file))).unlink(missing_ok=True)

    def build(self, kind: str, spec: Mapping[str, Any], **offers: Any) -> Any:
        """Call the plugin that `spec["use"]` names with what it declares of `offers`, and with the rest of `spec`.

        Raises:
            PluginError: there is no such plugin, or it raised something that is no CompError.
        """
        plugin, name = self.find(kind, spec["use"])
        supplied = {**offers, "name": name, "build": lambda inner, **others: self.build(kind, inner, **{**offers, **others})}
        kit = {parameter.name for parameter in list_parameters(plugin)} - {parameter.name for parameter in plugin.parameters}
        arguments = coerce_values(plugin.parameters, {key: value for key, value in spec.items() if key not in ("use", *kit)})
        function = self.load(plugin)
        try:
            return function(*(supplied[key] for key in plugin.supplied), **arguments)
        except CompError:
            raise
        except Exception as error:
            where = _line_in(error, plugin.file) or f":{plugin.line}"
            raise PluginError(f"{plugin.file}{where}: {kind} {spec['use']!r} failed: {_say(error)}") from error

    def builder(self, kind: str, specs: Sequence[Mapping[str, Any]], **offers: Any) -> Builder:
        """Builds these later, in another process perhaps: a picklable function of no arguments that returns a list."""
        return Builder(self, kind, tuple(specs), offers)

    def walk_spec(self, kind: str, spec: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
        """(path, spec) of a checked spec, under (), and of all that are nested in it (`("parts", "0")`)."""
        yield (), spec
        for parameter in self.find(kind, spec["use"])[0].parameters:
            if parameter.nests:
                for path, inner in _list_specs(spec.get(parameter.name), (parameter.name,)):
                    yield from ((path + deeper, found) for deeper, found in self.walk_spec(kind, inner))

    def source_hashes(self, specs: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
        """`kind.name` -> hash of the sources of each plugin that these (kind, spec) use, for digests.

        Built-in ones count only where comp runs from a checkout, where they can be edited.
        """
        plugins = [self.find(kind, inner["use"])[0] for kind, spec in specs for _, inner in self.walk_spec(kind, spec)]
        return {
            f"{plugin.kind}.{plugin.name}": self._hash(plugin)
            for plugin in plugins
            if plugin.origin != "built-in" or runs_from_checkout()
        }  # fmt: skip

    def _hash(self, plugin: Plugin) -> str:
        return hash_sources(plugin.file, self.project.root if self.project else None)


@dataclass(frozen=True)
class Builder:
    """What Catalog.builder returns."""

    catalog: Catalog
    kind: str
    specs: tuple[Mapping[str, Any], ...]
    offers: Mapping[str, Any]

    def __call__(self) -> list[Any]:
        return [self.catalog.build(self.kind, spec, **self.offers) for spec in self.specs]


def _list_specs(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The specs in an argument: itself, or those in a list or mapping."""
    if isinstance(value, Mapping) and "use" in value:
        yield path, value
    elif isinstance(value, Mapping | list | tuple):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _list_specs(item, (*path, str(key)))


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _line_in(error: Exception, file: Path) -> str:
    """`:17`, the last line of `file` that the error passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f":{lines[-1]}" if lines else ""


# ---- discovery -----------------------------------------------------------------------------------------------------------


def build_catalog(project: Project | None, experiment_folders: Sequence[Path] = ()) -> Catalog:
    """Find all plugins. A file that lies in two sources, or stands in two with the same content, counts once.

    Args:
        project: the workspace, or None for what is installed alone.
        experiment_folders: of the experiment and those it extends, nearest first.

    Raises:
        PluginError: two plugins of one kind bear the same name; names both files, for all such.
    """
    catalog, seen, clashes = Catalog(project), set(), []
    for origin, file, module in _find_files(project, experiment_folders):
        try:
            text = file.read_bytes()
        except OSError as error:
            catalog.broken.append(Broken(file, f"cannot be read: {error.strerror}"))
            continue
        marks = {str(file.resolve()), hashlib.sha256(text).hexdigest()}
        if b"plugin" not in text or marks & seen:
            continue
        seen |= marks
        found, broken = _read_file(text, file, module, origin)
        catalog.broken += broken
        for plugin in found:
            other = catalog.plugins.setdefault((plugin.kind, plugin.name), plugin)
            if other is not plugin:
                clashes.append(_describe_clash(other, plugin))
    _add_packages(catalog, clashes)
    if clashes:
        raise PluginError("\n".join([*clashes, "rename one of the two functions."]))
    return catalog


def _describe_clash(one: Plugin, other: Plugin) -> str:
    return f"two plugins are named {one.kind} {one.name!r}: {one.file}:{one.line} and {other.file}:{other.line}"


@lru_cache(maxsize=1024)  # a process that looks at several experiments meets the same files each time
def _read_file(text: bytes, file: Path, module: str, origin: str) -> tuple[Sequence[Plugin], Sequence[Broken]]:
    try:
        found, broken = read_source(text.decode("utf-8-sig"), file, module, origin)
    except UnicodeDecodeError as error:
        return (), (Broken(file, f"is not UTF-8: {error.reason} at byte {error.start}"),)
    if found and not all(part.isidentifier() for part in module.split(".")):
        return (), (Broken(file, "cannot be imported under its name; wanted letters, digits and _ only"),)
    return tuple(found), tuple(broken)


def _find_files(project: Project | None, experiment_folders: Sequence[Path]) -> Iterator[tuple[str, Path, str]]:
    """(origin, file, module) of whatever may hold plugins, packages aside."""
    built_in = built_in_folder()
    yield from (("built-in", file, module) for file, module in _list_modules(built_in, built_in, "comp.plugins", "*/*.py"))
    if project is None:
        return
    root = project.root
    for pattern in ("*.py", "*/*.py"):
        yield from (("workspace", file, module) for file, module in _list_modules(project.plugins, root, "comp.user", pattern))
    for folder in experiment_folders:
        home, package = (root, "comp.user") if folder.is_relative_to(root) else (examples_folder(), "comp.examples")
        yield from (("experiment", file, module) for file, module in _list_modules(folder, home, package, "*.py"))


def _list_modules(folder: Path, home: Path, package: str, pattern: str) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.glob(pattern)):
        if not file.name.startswith(("_", ".")) and file.is_file():
            yield file, ".".join([package, *file.relative_to(home).with_suffix("").parts])


def _add_packages(catalog: Catalog, clashes: list[str]) -> None:
    """Plugins of installed packages: entry points such as `loss.lovasz = package.module:lovasz`."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="comp.plugins"):
        file = _locate_module(entry.module)
        if file is None:
            catalog.broken.append(Broken(Path(entry.module), f"entry point {entry.name!r}: there is no module {entry.module!r}"))
            continue
        found, broken = _read_file(file.read_bytes(), file, entry.module, "package")
        catalog.broken += [row for row in broken if row not in catalog.broken]
        wanted = [plugin for plugin in found if f"{plugin.kind}.{plugin.name}" == entry.name]
        if not wanted and not broken:
            catalog.broken.append(Broken(file, f"entry point {entry.name!r}: the file has no such plugin"))
        for plugin in wanted:
            other = catalog.plugins.setdefault((plugin.kind, plugin.name), plugin)
            if other.file.resolve() != file.resolve():
                clashes.append(_describe_clash(other, plugin))


def _locate_module(module: str) -> Path | None:
    """The file of a module, found as Python finds it, but without importing the packages above it."""
    path, found, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        found = next((spec for finder in sys.meta_path if (spec := finder.find_spec(name, path))), None)
        if found is None:
            return None
        path = found.submodule_search_locations
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None
