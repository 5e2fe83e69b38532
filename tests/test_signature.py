"""comp.signature: arguments against a plugin's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comp.catalog import build_catalog
from comp.domains import DOMAINS
from comp.errors import PluginError
from comp.signature import check_arguments, coerce, json_schema
from comp.source import Plugin, read_source


def make_plugin(parameters: str, marks: str = "", rest: str = "", kind: str = "loss") -> Plugin:
    doc = '    """Sum.\n\n    Args:\n        gamma: the exponent.\n    """\n'
    text = f'@plugin("{kind}"{marks})\ndef focal(*, {parameters}{rest}):\n{doc}'
    found, broken = read_source(text, Path("f.py"), "m", "workspace")
    assert not broken
    return found[0]


EVERY = make_plugin(
    "gamma: float = 2.0, count: int = 1, flag: bool = True, text: str = '', where: Path = 'x', sizes: list[int] = [1],"
    " span: tuple[float, float] = (0.0, 1.0), weights: dict[str, float] = {}, mode: Literal['mean', 'sum'] = 'mean',"
    " maybe: float | None = None, rate: Literal['auto'] | float = 'auto',"
    " any_list: list = [], any_tuple: tuple = (), model_x: int = 1"
)


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"gamma": 3}, {"gamma": 1.5}, {"count": 3}, {"flag": False}, {"text": "no"}, {"where": "a/b.pth"}, {"sizes": [1, 2]},
        {"span": [0, 1]}, {"weights": {"cat": 2}}, {"mode": "sum"}, {"maybe": None}, {"maybe": 3}, {"rate": "auto"},
        {"rate": 0.1},
        {"any_list": [1, "a", None]}, {"any_tuple": [1]}, {"model_x": 2},
    ],
)  # fmt: skip
def test_right_arguments(arguments: dict[str, Any]) -> None:
    assert check_arguments(EVERY, arguments) == []


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        ({"gama": 3}, "gama", "'focal' has no parameter 'gama'; did you mean 'gamma'?"),
        ({"gamma": "1e-3"}, "gamma", "is '1e-3' (text); wanted float"),
        ({"gamma": True}, "gamma", "is true (a bool); wanted float"),
        ({"gamma": None}, "gamma", "is null (nothing); wanted float"),
        ({"count": 3.7}, "count", "is 3.7 (a number); wanted int"),
        ({"count": 3.0}, "count", "is 3.0 (a number); wanted int"),
        ({"count": False}, "count", "is false (a bool); wanted int"),
        ({"flag": 1}, "flag", "is 1 (an integer); wanted bool"),
        ({"flag": "false"}, "flag", "is 'false' (text); wanted bool"),
        ({"text": 3}, "text", "is 3 (an integer); wanted str"),
        ({"where": 3}, "where", "is 3 (an integer); wanted Path"),
        ({"sizes": 3}, "sizes", "is 3 (an integer); wanted list[int]"),
        ({"sizes": [1, 2.5]}, "sizes.1", "is 2.5 (a number); wanted list[int]"),
        ({"span": [1]}, "span", "wanted tuple[float, float]"),
        ({"weights": {"cat": "x"}}, "weights.cat", "is 'x' (text); wanted dict[str, float]"),
        ({"mode": "men"}, "mode", "is 'men'; wanted 'mean' | 'sum'; did you mean 'mean'?"),
        ({"mode": {"use": "mean"}}, "mode", "is {'use': 'mean'} (a mapping); wanted 'mean' | 'sum'"),
        ({"maybe": "x"}, "maybe", "is 'x' (text); wanted float | None"),
        ({"rate": "aut"}, "rate", "is 'aut' (text); wanted 'auto' | float"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], path: str, message: str) -> None:
    ((where, text),) = check_arguments(EVERY, arguments)
    assert where == path
    assert message in text


def test_all_faults_at_once() -> None:
    assert [path for path, _ in check_arguments(EVERY, {"gama": 1, "count": "x", "sizes": ["a", "b"]})] == [
        "gama",
        "count",
        "sizes.0",
        "sizes.1",
    ]


def test_a_missing_argument_is_named_with_its_help() -> None:
    assert check_arguments(make_plugin("gamma: float"), {}) == [("gamma", "'focal' needs 'gamma' (float): the exponent.")]


def test_an_open_family_passes_other_names_through() -> None:
    family = make_plugin("arch: str", ', family="arch"', ", **arguments", kind="model")
    assert check_arguments(family, {"arch": "x", "drop": 1}) == []
    assert coerce(family, {"arch": "x", "drop": 1}) == {"arch": "x", "drop": 1}


def test_members_of_a_blend_are_the_kits() -> None:
    blend = make_plugin("power: float = 1.0", kind="blend")
    assert check_arguments(blend, {"members": ["exp001"]}) == []
    assert [path for path, _ in check_arguments(blend, {})] == ["members"]


def test_coerce_converts_what_yaml_cannot_say() -> None:
    found = coerce(EVERY, {"where": "a/b", "span": [0, 1], "gamma": 3, "any_tuple": [1]})
    assert found == {"where": Path("a/b"), "span": (0.0, 1.0), "gamma": 3.0, "any_tuple": (1,)}
    assert isinstance(found["gamma"], float)
    with pytest.raises(PluginError, match="gamma: is 'x'"):
        coerce(EVERY, {"gamma": "x"})


def test_the_schema_for_editors() -> None:
    schema = json_schema(build_catalog(None))
    loss = {row["if"]["properties"]["use"]["const"]: row["then"] for row in schema["$defs"]["loss"]["allOf"]}
    assert loss["focal"]["properties"]["gamma"]["default"] == 2.0
    assert loss["focal"]["additionalProperties"] is False
    assert schema["properties"]["train"]["properties"]["precision"]["anyOf"][0] == {"enum": ["auto", "bf16", "16", "32", 16, 32]}
    assert schema["properties"]["stages"]["items"]["properties"]["loss"] == {"$ref": "#/properties/loss"}
    search = schema["properties"]["search"]
    assert search["properties"]["algorithm"]["anyOf"][0] == {"enum": ["random", "grid", "tpe", "hyperopt"]}
    assert set(search["additionalProperties"]["properties"]) == {*DOMAINS, "step"}
    references = {
        value["$ref"].rpartition("/")[2]
        for value in walk(schema)
        if isinstance(value, dict) and "#/$defs" in value.get("$ref", "")
    }
    assert references <= set(schema["$defs"])


def test_the_schema_of_a_nested_spec_is_that_of_its_kind() -> None:
    catalog = build_catalog(None)
    plugin = make_plugin("base: Spec, parts: 'list[Spec] | None' = None")
    catalog.plugins["loss", "focal"] = plugin
    loss = {row["if"]["properties"]["use"]["const"]: row["then"] for row in json_schema(catalog)["$defs"]["loss"]["allOf"]}
    own = {"$ref": "#/$defs/loss"}
    assert loss["focal"]["properties"]["base"]["anyOf"][0] == own
    assert loss["focal"]["properties"]["parts"]["anyOf"][0]["anyOf"][0] == {"type": "array", "items": own}
    assert [parameter.nests for parameter in plugin.parameters] == [True, True]


def walk(value: Any) -> list[Any]:
    children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(item for child in children for item in walk(child))]
