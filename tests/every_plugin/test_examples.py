"""Every built-in plugin has an example that a manifest may write, and refuses a wrong argument by name."""

from __future__ import annotations

from typing import Any

import pytest

from comp.catalog import build_catalog
from comp.checking import Checker
from comp.marked import Marked, Origin, parse_yaml, unmark
from comp.source import Plugin

CATALOG = build_catalog(None)
EVERY = sorted(CATALOG.plugins.values(), key=lambda plugin: (plugin.kind, plugin.name))
IDS = [f"{plugin.kind}.{plugin.name}" for plugin in EVERY]


def read_example(plugin: Plugin) -> dict[str, Any]:
    assert plugin.example, f"{plugin.file}: the docstring of {plugin.name} has no line `Example: {{use: {plugin.name}}}`"
    node, faults = parse_yaml(plugin.example, str(plugin.file))
    assert node and not faults, faults
    return unmark(node)


def list_faults(plugin: Plugin, spec: dict[str, Any]) -> list[str]:
    """What is wrong with a mapping for a plugin of this kind, the library's own arguments included."""
    checker = Checker(CATALOG, Marked({}, Origin("example")), library=True)
    checker.check_spec((plugin.kind,), plugin.kind, spec)
    return [f"{fault.path} {fault.message}" for fault in checker.faults]


@pytest.mark.parametrize("plugin", EVERY, ids=IDS)
def test_its_example_is_a_manifests(plugin: Plugin) -> None:
    example = read_example(plugin)
    assert list_faults(plugin, example) == []
    used = [CATALOG.find(plugin.kind, spec["use"])[0] for _, spec in CATALOG.walk_spec(plugin.kind, example)]
    assert plugin in used, "the example is of another plugin"


@pytest.mark.parametrize("plugin", EVERY, ids=IDS)
def test_it_refuses_a_wrong_argument_by_name(plugin: Plugin) -> None:
    faults = list_faults(plugin, {**read_example(plugin), "surely_wrong": 1})
    assert faults and all("surely_wrong" in fault for fault in faults), faults
