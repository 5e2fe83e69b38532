"""`comp plugins`: lists and describes plugins, from their sources alone, and writes starters."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comp.api import KINDS
from comp.cli.options import argument, complete_experiments, json_option
from comp.cli.output import crop_lines, print_json, print_lines, print_warnings, relative

if TYPE_CHECKING:
    from comp.catalog import Catalog, Plugin


@click.group("plugins")
def plugins_command() -> None:
    """List, describe and start plugins."""


def in_option(help_line: str) -> Any:
    return click.option("--in", "experiment", metavar="NAME", shell_complete=complete_experiments, help=help_line)


@plugins_command.command("list")
@argument("kind", "only this kind", required=False, type=click.Choice(KINDS), metavar="KIND")
@in_option("Also the plugins of this experiment's folder.")
@json_option
def list_command(kind: str | None, experiment: str | None, as_json: bool) -> None:
    """List all plugins, and files that cannot be read as such."""
    catalog = open_catalog(experiment)
    plugins = sorted(catalog.plugins.values(), key=lambda plugin: (KINDS.index(plugin.kind), plugin.name))
    shown = [plugin for plugin in plugins if kind in (None, plugin.kind)]
    if as_json:
        print_json(
            {
                "plugins": [describe(plugin) for plugin in shown],
                "broken": [{"file": row[0], "message": row[1]} for row in catalog.broken],
            }
        )
        return
    print_lines(crop_lines(list_by_kind(shown)))
    print_warnings(f"{relative(file)}: {message}" for file, message in catalog.broken)


@plugins_command.command("show")
@argument("name", "what a manifest writes after `use:`; KIND.NAME where several kinds have the name")
@in_option("Also look in this experiment's folder.")
@json_option
def show_command(name: str, experiment: str | None, as_json: bool) -> None:
    """Describe a plugin: summary, parameters, defaults, an example, file and line."""
    found = find_plugins(open_catalog(experiment), name)
    if as_json:
        print_json([describe(plugin) for plugin in found])
        return
    for number, plugin in enumerate(found):
        print_lines([*([""] if number else []), *description(plugin)])


@plugins_command.command("new")
@argument("kind", "what it is to be: loss, metric, augment, ...", type=click.Choice(KINDS), metavar="KIND")
@argument("name", "what to call it; a manifest writes it after `use:`")
@in_option("Put it into this experiment's folder instead of the workspace's plugins/.")
@json_option
def new_command(kind: str, name: str, experiment: str | None, as_json: bool) -> None:
    """Write a small plugin that works, to start from."""
    from comp.project import find_project
    from comp.starters import start_plugin

    file = start_plugin(find_project(), kind, name, experiment)
    if as_json:
        print_json({"kind": kind, "name": name, "file": file})
        return
    click.echo(f"wrote {relative(file)}; a manifest uses it as `{write_key(kind, f'{{use: {name}}}')}`")


def list_by_kind(plugins: Sequence[Plugin]) -> list[str]:
    """A heading for each kind, and under it a line for each plugin; what is not built in says where it is from."""
    width = max((len(plugin.label) for plugin in plugins), default=0)
    lines: list[str] = []
    for kind, group in itertools.groupby(plugins, key=lambda plugin: plugin.kind):
        lines += [*([""] if lines else []), click.style(kind, bold=True)]
        for plugin in group:
            origin = "" if plugin.origin == "built-in" else f"({plugin.origin}) "
            lines.append(f"  {plugin.label:<{width}}  {origin}{plugin.summary}")
    return lines


def open_catalog(experiment: str | None) -> Catalog:
    """All plugins one can see from here: outside a workspace those that are installed."""
    from comp.catalog import build_catalog
    from comp.errors import WorkspaceError
    from comp.project import find_project

    if experiment is not None:
        project = find_project()
        return build_catalog(project, [project.experiment(experiment)])
    try:
        project = find_project()
    except WorkspaceError:
        return build_catalog(None)
    return build_catalog(project)


def find_plugins(catalog: Catalog, name: str) -> list[Plugin]:
    """The plugins of that name, in every kind that has one.

    Raises:
        PluginError: there is none.
    """
    from comp.errors import PluginError
    from comp.project import suggest

    kind, dot, rest = name.partition(".")
    if dot and kind in KINDS:
        return [catalog.find(kind, rest)[0]]
    found = [
        plugin for plugin in catalog.plugins.values() if plugin.name == name or (plugin.prefix and name.startswith(plugin.prefix))
    ]
    if not found:
        near = suggest(name, (plugin.name for plugin in catalog.plugins.values()))
        raise PluginError(f"there is no plugin {name!r}{near or '; `comp plugins list` has them all'}")
    return found


def write_key(kind: str, spec: str) -> str:
    """A line of a manifest that uses a plugin of this kind: `mix: {use: cutmix}`, `tta: [{use: hflip}]`."""
    from comp.keys import SLOTS

    return f"{kind}: [{spec}]" if kind in SLOTS and SLOTS[kind].form == "list" else f"{kind}: {spec}"


def describe(plugin: Plugin) -> dict[str, Any]:
    from comp.catalog import REQUIRED

    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "use": plugin.label,
        "summary": plugin.summary,
        "family": plugin.family,
        "origin": plugin.origin,
        "file": plugin.file,
        "line": plugin.line,
        "supplied": plugin.supplied,
        "example": plugin.example or None,
        "parameters": [
            {
                "name": parameter.name,
                "annotation": parameter.annotation,
                "required": parameter.default is REQUIRED,
                "default": None if parameter.default is REQUIRED else parameter.default,
                "help": parameter.help,
            }
            for parameter in plugin.parameters
        ],
    }


def description(plugin: Plugin) -> list[str]:
    from comp.catalog import REQUIRED
    from comp.report.tables import format_table

    lines = [
        click.style(f"{plugin.kind} {plugin.label}", bold=True) + f"  {plugin.summary}",
        f"{relative(Path(plugin.file))}:{plugin.line}  {plugin.origin}",
    ]
    if plugin.family:
        lines.append(family_line(plugin))
    body = re.split(r"^(?:Args|Raises|Example):", plugin.doc, maxsplit=1, flags=re.MULTILINE)[0].partition("\n")[2].strip()
    lines += ["", *body.splitlines()] if body else []
    if plugin.parameters:
        rows = [
            [
                parameter.name,
                parameter.annotation,
                "(required)" if parameter.default is REQUIRED else repr(parameter.default),
                parameter.help,
            ]
            for parameter in plugin.parameters
        ]
        lines += ["", *format_table(["parameter", "type", "default", "what it is"], rows)]
    if plugin.example:
        lines += ["", f"example: {write_key(plugin.kind, plugin.example)}"]
    return lines


def family_line(plugin: Plugin) -> str:
    if plugin.prefix:
        return f"a family: what follows `{plugin.prefix}` is a name of the library, and further keys are its arguments"
    return f"a family: `{plugin.family}` is a name of the library, and further keys are its arguments"
