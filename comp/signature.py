"""Signature: what arguments a plugin takes, checked and converted from its source's description of them.

Types are strict: true is no number, 3.7 no integer, "1e-3" in quotes no number; an integer will do for a float, a list for a
tuple, text for a Path. Whether a library behind a family takes an argument is asked in comp.families.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from comp.api import Spec
from comp.errors import PluginError
from comp.keys import KIT_PARAMETERS, LISTS, PLAIN, RANGES, SEARCH, SECTIONS, SLOTS, STAGE_KEYS, STAGE_PARAMETERS
from comp.project import suggest
from comp.source import REQUIRED, Parameter, Plugin, read_annotation

if TYPE_CHECKING:
    import pydantic

    from comp.catalog import Catalog

Faults = list[tuple[str, str]]


def list_parameters(plugin: Plugin) -> tuple[Parameter, ...]:
    """What a manifest may set: what the kit itself reads for plugins of this kind, then the plugin's own."""
    own = {parameter.name for parameter in plugin.parameters}
    return (*(parameter for parameter in KIT_PARAMETERS.get(plugin.kind, ()) if parameter.name not in own), *plugin.parameters)


def fill_defaults(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Name -> default, of those that have one."""
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not REQUIRED}


def check_arguments(plugin: Plugin, arguments: Mapping[str, Any]) -> Faults:
    """All that is wrong with arguments for this plugin: (dotted key path, message) each; `use` is not among them."""
    return check_values(list_parameters(plugin), arguments, repr(plugin.name), open=plugin.open)


def check_values(parameters: Sequence[Parameter], values: Mapping[str, Any], owner: str, *, open: bool = False) -> Faults:
    """The same for any set of parameters. `owner` names them in messages; `open`: unknown names are passed through."""
    return _validate(tuple(parameters), values, owner, open)[1]


def coerce(plugin: Plugin, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that passed check_arguments, as the plugin's annotations want them (Path, tuple, float)."""
    return coerce_values(list_parameters(plugin), arguments)


def coerce_values(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The same for any set of parameters; names that are not among them are kept as they are.

    Raises:
        PluginError: they would not have passed.
    """
    read, faults = _validate(tuple(parameters), values, "it", True)
    if faults:
        raise PluginError("; ".join(f"{path}: {message}" for path, message in faults))
    return {**values, **read}


def _validate(
    parameters: tuple[Parameter, ...], values: Mapping[str, Any], owner: str, open: bool
) -> tuple[dict[str, Any], Faults]:
    """The values as annotated (empty where one is at fault), and the faults."""
    import pydantic

    known = {parameter.name: parameter for parameter in parameters}
    faults: Faults = []
    for name in values:
        if name not in known and not open:
            takes = "" if (near := suggest(name, known)) else f" (it takes {', '.join(known)})" if known else " (it takes none)"
            faults.append((name, f"{owner} has no parameter {name!r}{near}{takes}"))
    # Fields bear numbers, because pydantic refuses some names (`model_config`, `_x`) that a plugin may well use.
    fields = {name: f"field_{position}" for position, name in enumerate(known)}
    try:
        record = _make_model(parameters).model_validate({fields[name]: value for name, value in values.items() if name in known})
        return {name: getattr(record, fields[name]) for name in values if name in known}, faults
    except pydantic.ValidationError as error:
        found: dict[str, str] = {}
        for problem in error.errors(include_url=False, include_context=False):
            parameter = parameters[int(str(problem["loc"][0]).removeprefix("field_"))]
            path, message = _describe(parameter, problem, values, owner)
            found.setdefault(path, message)
        return {}, faults + list(found.items())


def _describe(parameter: Parameter, problem: Any, values: Mapping[str, Any], owner: str) -> tuple[str, str]:
    name = parameter.name
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        why = f": {parameter.help}" if parameter.help else ""
        return name, f"{owner} needs {name!r} ({show_type(parameter.annotation)}){why}"
    # In a union pydantic's location names the member that was tried, which is no part of the key.
    inner = () if "|" in parameter.annotation or problem["type"] == "missing" else problem["loc"][1:]
    given = problem["input"] if inner else values[name]
    form = read_annotation(parameter.annotation)
    if not inner and typing.get_origin(form) is Literal and isinstance(given, str):
        near = suggest(given, [choice for choice in typing.get_args(form) if isinstance(choice, str)])
        return name, f"is {given!r}; wanted {' | '.join(map(show, typing.get_args(form)))}{near}"
    return ".".join([name, *map(str, inner)]), f"is {show(given)} ({_name_type(given)}); wanted {show_type(parameter.annotation)}"


def show(value: Any) -> str:
    """A value as YAML would write it, cut to 60 characters."""
    text = {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def show_type(annotation: str) -> str:
    """`Literal['auto'] | int` as people read it: `'auto' | int`; a Spec as it is written in a manifest."""
    text = re.sub(r"Literal\[([^\]]*)\]", lambda match: match[1].replace(", ", " | "), annotation)
    return re.sub(r"\bSpec\b", "{use: …}", text)


def _name_type(value: Any) -> str:
    names = {bool: "a bool", int: "an integer", float: "a number", str: "text", dict: "a mapping", type(None): "nothing"}
    return names.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)


@functools.lru_cache(maxsize=512)
def _make_model_of(signature: tuple[tuple[str, bool], ...]) -> type[pydantic.BaseModel]:
    import pydantic

    fields: dict[str, Any] = {
        f"field_{position}": (_loosen(read_annotation(annotation)), ... if required else None)
        for position, (annotation, required) in enumerate(signature)
    }
    return pydantic.create_model("Arguments", __config__=pydantic.ConfigDict(strict=True), **fields)


def _make_model(parameters: tuple[Parameter, ...]) -> type[pydantic.BaseModel]:
    return _make_model_of(tuple((parameter.annotation, parameter.default is REQUIRED) for parameter in parameters))


def _loosen(form: Any) -> Any:
    """The type with the two conversions that YAML needs: a list for a tuple, text for a Path."""
    import pydantic

    if form is Path:
        return Annotated[Path, pydantic.Field(strict=False)]
    arguments = tuple(part if part is ... else _loosen(part) for part in typing.get_args(form))
    match typing.get_origin(form):
        case types.UnionType | typing.Union:
            return typing.Union[arguments]  # noqa: UP007 - `|` does not take Annotated members on 3.11
        case origin if origin is tuple:
            return Annotated[tuple[arguments], pydantic.Field(strict=False)]
        case origin if origin in (list, dict):
            return origin[arguments]
    return Annotated[tuple, pydantic.Field(strict=False)] if form is tuple else form


# ---- for editors ---------------------------------------------------------------------------------------------------------


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """The JSON Schema of a manifest with these plugins, which editors complete from (manifest.schema.json)."""
    return _schema_of_keys({kind: _schema_of_kind(catalog.of_kind(kind)) for kind in catalog.kinds})


def _schema_of_keys(of_kind: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of a manifest, given that of each kind of plugin."""
    found: dict[str, Any] = dict(_schema_of(PLAIN))
    for key, slot in SLOTS.items():
        reference: dict[str, Any] = {"$ref": f"#/$defs/{slot.kind}"}
        if key == "loss":
            reference = {"anyOf": [reference, {"type": "object", "additionalProperties": reference}]}
        schema = {"type": ["array", "null"], "items": reference} if slot.form == "list" else reference
        found[key] = {"description": slot.help, **schema}
    for key, parameters in SECTIONS.items():
        found[key] = {"type": ["object", "null"], "properties": _schema_of(parameters), "additionalProperties": False}
    for key, parameters in LISTS.items():
        required = [parameter.name for parameter in parameters if parameter.default is REQUIRED]
        item = {"type": "object", "properties": _schema_of(parameters), "required": required, "additionalProperties": False}
        found[key] = {"type": ["array", "null"], "items": item}
    found["search"] = _schema_of_search()
    stage = {**_schema_of(STAGE_PARAMETERS), **{key: {"$ref": f"#/properties/{key}"} for key in STAGE_KEYS}}
    found["stages"] = {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": stage, "required": ["name", "epochs"], "additionalProperties": False},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "comp manifest", "type": "object",
        "properties": found, "additionalProperties": False, "$defs": dict(of_kind),
    }  # fmt: skip


def _schema_of_search() -> dict[str, Any]:
    """Settings, and a domain at every other key."""
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    others = {"choice": {"type": "array", "minItems": 1}, "formula": {"type": "string"}, "step": {"type": "number"}}
    forms = {**dict.fromkeys(RANGES, ends), **others}
    domain = {"type": ["object", "null"], "properties": forms, "additionalProperties": False}
    settings = _schema_of(SEARCH)
    settings["seed"]["anyOf"].append(domain)
    return {"type": ["object", "null"], "properties": settings, "additionalProperties": domain}


def _schema_of_kind(plugins: Sequence[Plugin]) -> dict[str, Any]:
    """One plugin of a kind by its `use`; without `use` any mapping, because it merges with what is underneath."""
    if not plugins:
        return {"type": ["object", "null"]}
    forms = [_choose(plugin) for plugin in plugins]
    uses = {"anyOf": [form for form, _ in forms]}
    return {"type": ["object", "null"], "properties": {"use": uses}, "allOf": [then for _, then in forms]}


def _choose(plugin: Plugin) -> tuple[dict[str, Any], dict[str, Any]]:
    if plugin.prefix:
        form: dict[str, Any] = {"type": "string", "pattern": f"^{plugin.prefix.replace('.', '[.]')}"}
    else:
        form = {"const": plugin.name}
    then: dict[str, Any] = {"properties": {"use": True, **_schema_of(list_parameters(plugin), plugin.kind)}}
    if not plugin.open:
        then["additionalProperties"] = False
    return {**form, "description": plugin.summary}, {"if": {"properties": {"use": form}, "required": ["use"]}, "then": then}


def _schema_of(parameters: Sequence[Parameter], kind: str = "") -> dict[str, Any]:
    """Parameter -> its JSON Schema. Null is always allowed: it restores the default. `kind`: whose parameters, for a Spec."""
    found = {}
    for parameter in parameters:
        schema = _schema_of_type(read_annotation(parameter.annotation), kind)
        text = {"description": parameter.help} if parameter.help else {}
        default = {} if parameter.default is REQUIRED else {"default": parameter.default}
        found[parameter.name] = {"anyOf": [schema, {"type": "null"}], **text, **default}
    return found


JSON_TYPES: dict[Any, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", Path: "string",
    list: "array", tuple: "array", dict: "object",
}  # fmt: skip


def _schema_of_type(form: Any, kind: str) -> dict[str, Any]:
    arguments = typing.get_args(form)
    if form is None or form is type(None):
        return {"type": "null"}
    if form is Spec:
        return {"$ref": f"#/$defs/{kind}"}
    if form in JSON_TYPES:
        return {"type": JSON_TYPES[form]}
    parts = functools.partial(map, lambda part: _schema_of_type(part, kind))
    by_origin: dict[Any, Callable[[], dict[str, Any]]] = {
        Literal: lambda: {"enum": list(arguments)},
        types.UnionType: lambda: {"anyOf": [*parts(arguments)]},
        typing.Union: lambda: {"anyOf": [*parts(arguments)]},
        list: lambda: {"type": "array", "items": _schema_of_type(arguments[0], kind)},
        dict: lambda: {"type": "object", "additionalProperties": _schema_of_type(arguments[-1], kind)},
        tuple: lambda: _schema_of_tuple(arguments, kind),
    }
    return by_origin[typing.get_origin(form)]()


def _schema_of_tuple(arguments: tuple[Any, ...], kind: str) -> dict[str, Any]:
    if arguments[-1:] == (...,):
        return {"type": "array", "items": _schema_of_type(arguments[0], kind)}
    items, count = [_schema_of_type(part, kind) for part in arguments], len(arguments)
    return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}
