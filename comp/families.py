"""Families: whether the library behind a plugin knows a name and takes its arguments.

Asks the `names` and `signature` functions of the plugin's module, which may import heavy libraries; so only `check` and `run`
come here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from comp.catalog import Catalog, Plugin
from comp.errors import CompError
from comp.project import suggest
from comp.signature import Faults

CATCH_ALL = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def check_library(catalog: Catalog, plugin: Plugin, name: str | None, arguments: Mapping[str, Any]) -> Faults:
    """What the library would refuse: (dotted key path, message) each. `name`: the library's, for a family by prefix."""
    if plugin.family is None or not (plugin.names or plugin.signature):
        return []
    key = "use" if plugin.prefix else plugin.family
    declared = {parameter.name: parameter.default for parameter in plugin.parameters}
    name = name or arguments.get(key, declared.get(key))
    if not isinstance(name, str):
        return []
    extras = {key: value for key, value in arguments.items() if key not in declared}
    try:
        module = catalog.load_module(plugin)
        names = set(getattr(module, plugin.names)()) if plugin.names else None
        # A tag of timm's (`resnet50.a1_in1k`) and a name from elsewhere (`hf-hub:…`) are checked by building.
        if names is not None and ":" not in name and not {name, name.partition(".")[0]} & names:
            prefix = plugin.prefix or ""
            what = f"there is no {plugin.kind}" if prefix else f"{plugin.name} has no"
            return [(key, f"{what} {prefix + name!r}{suggest(prefix + name, [prefix + known for known in names])}")]
        signature = getattr(module, plugin.signature)(name, extras) if plugin.signature else None
    except (TypeError, ValueError, CompError) as error:
        return [(_blame(str(error), extras) or key, f"{name}: {str(error) or type(error).__name__}")]
    except Exception as error:
        return [(key, f"{name} cannot be looked up: {type(error).__name__}: {error}")]
    return _bind(signature, name, extras) if signature else []


def _blame(message: str, extras: Mapping[str, Any]) -> str | None:
    """The argument that a library's message names."""
    return next((key for key in sorted(extras, key=len, reverse=True) if f"'{key}'" in message or key in message.split()), None)


def _bind(signature: inspect.Signature, name: str, extras: Mapping[str, Any]) -> Faults:
    takes = [parameter for parameter in signature.parameters.values() if parameter.kind not in CATCH_ALL]
    known = [parameter.name for parameter in takes]
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    takes_text = f" (it takes {', '.join(known)})"
    faults = [
        (key, f"{name!r} has no parameter {key!r}{suggest(key, known) or takes_text}")
        for key in extras
        if key not in known and not open_ended
    ]
    missing = [parameter.name for parameter in takes if parameter.default is parameter.empty and parameter.name not in extras]
    return faults + [(key, f"{name!r} needs {key!r}") for key in missing]
