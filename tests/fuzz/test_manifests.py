"""Manifests: whatever is written into them, they resolve to something that reads back as itself, or to faults with a place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from comp.api import Spec
from comp.catalog import build_catalog
from comp.errors import CompError, ManifestError
from comp.inline import to_yaml
from comp.keys import LISTS, MANIFEST_KEYS, PLAIN, SEARCH, SECTIONS, SLOTS, STAGE_KEYS, STAGE_PARAMETERS
from comp.manifest import load_manifest, load_resolved
from comp.marked import parse_yaml, unmark, write_yaml
from comp.signature import list_parameters
from comp.source import Parameter
from tests.fuzz.exploring import counts, explore

CATALOG = build_catalog(None)
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        3,
        2**63,
        10**30,
        0.5,
        -0.0,
        1e308,
        "",
        "auto",
        "..",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "exp001",
        "é\u0301",
        "x" * 300,
        [],
        {},
        [[]],
        {"use": "cnn"},
        "²",
    ]
)
LEAVES = st.one_of(ODD, st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8))
PLAIN_DATA = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)


@pytest.fixture(autouse=True)
def one_catalog(monkeypatch):
    """Which plugins there are is read once: reading it takes longer than all else."""
    monkeypatch.setattr("comp.manifest.build_catalog", lambda *given: CATALOG)


# ---- values that nearly fit ----------------------------------------------------------------------------------------------


def fitting(annotation: str, kind: str = "") -> st.SearchStrategy[Any]:
    """Values of an annotation's words, more or less."""
    options: list[st.SearchStrategy[Any]] = []
    if "Literal" in annotation:
        inner = annotation.partition("Literal[")[2].partition("]")[0]
        options.append(st.sampled_from([part.strip().strip("'\"") for part in inner.split(",")]))
    words = {
        "bool": st.booleans(),
        "int": st.integers(-2, 300),
        "float": st.floats(-1, 10),
        "str": st.sampled_from(["label", "id", "auto", "x", ""]),
        "Path": st.just("gone.safetensors"),
        "None": st.none(),
        "list": st.lists(st.integers(0, 64) | st.floats(0, 1) | st.just("a"), max_size=3),
        "tuple": st.lists(st.integers(0, 64), max_size=3),
        "dict": st.dictionaries(st.sampled_from(["label", "a"]), st.just("b"), max_size=2),
    }
    options += [strategy for word, strategy in words.items() if word in annotation]
    if Spec.__name__ in annotation and kind:
        options.append(spec_of(kind, 0))
    return st.one_of(*options) if options else LEAVES


def filled(parameters: tuple[Parameter, ...], kind: str = "") -> st.SearchStrategy[dict[str, Any]]:
    """A mapping of some of these parameters, one in ten of another type, perhaps with one that there is not."""
    known = {item.name: fitting(item.annotation, kind) | st.one_of(LEAVES) if item.name else LEAVES for item in parameters}
    required = {item.name: known[item.name] for item in parameters if repr(item.default) == "REQUIRED"}
    others = {name: strategy for name, strategy in known.items() if name not in required}
    return st.builds(
        lambda must, may, odd: {**must, **may, **odd},
        st.fixed_dictionaries(required),
        st.fixed_dictionaries({}, optional=dict(list(others.items())[:40])).map(lambda found: dict(list(found.items())[:4])),
        st.dictionaries(st.text(max_size=5), LEAVES, max_size=1) | st.just({}) | st.just({}) | st.just({}),
    )


def spec_of(kind: str, depth: int = 1) -> st.SearchStrategy[dict[str, Any]]:
    """`{use: …}` of one of the plugins there are, its arguments nearly right."""
    plugins = sorted(CATALOG.of_kind(kind), key=lambda plugin: plugin.name)
    if not plugins:
        return LEAVES

    def of(plugin: Any) -> st.SearchStrategy[dict[str, Any]]:
        name = f"{plugin.prefix}HorizontalFlip" if plugin.prefix else plugin.name
        arguments = filled(list_parameters(plugin), kind if depth else "")
        return arguments.map(lambda found: {"use": name, **found})

    return st.sampled_from(plugins).flatmap(of) | st.just({"use": "nothing"})


def value_of(key: str) -> st.SearchStrategy[Any]:
    if key in SLOTS:
        slot = SLOTS[key]
        one = spec_of(slot.kind)
        return st.lists(one, max_size=3) if slot.form == "list" else one
    if key in SECTIONS:
        return filled(SECTIONS[key])
    if key in LISTS:
        return st.lists(filled(LISTS[key]), max_size=2)
    if key == "stages":
        own = st.fixed_dictionaries({}, optional={name: st.deferred(lambda name=name: value_of(name)) for name in STAGE_KEYS})
        return st.lists(st.builds(lambda base, more: {**base, **more}, filled(STAGE_PARAMETERS), own), max_size=3)
    if key == "search":
        ends = st.lists(st.floats(-1, 10) | st.integers(-1, 10), min_size=1, max_size=3)
        domain = st.dictionaries(
            st.sampled_from(["uniform", "loguniform", "int", "logint", "choice", "formula", "step"]),
            ends | st.just("10 * optimizer.lr") | LEAVES,
            max_size=2,
        )
        keys = st.sampled_from(
            ["optimizer.lr", "loss.gamma", "train.batch_size", "augment", "augment.0.p", "nothing", "image.size", "use"]
        )
        return st.builds(
            lambda settings, space: {**settings, **space}, filled(SEARCH), st.dictionaries(keys, domain | LEAVES, max_size=3)
        )
    return fitting({item.name: item.annotation for item in PLAIN}.get(key, "str"))


def manifests() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.lists(st.sampled_from([*MANIFEST_KEYS]), max_size=4, unique=True)
    several = keys.flatmap(lambda names: st.fixed_dictionaries({name: value_of(name) | (ODD if name else ODD) for name in names}))
    return several | st.dictionaries(st.sampled_from(MANIFEST_KEYS) | st.text(max_size=6), PLAIN_DATA, max_size=3)


# ---- the checks ----------------------------------------------------------------------------------------------------------


def demand_sense(sheets: Any, *sets: str) -> None:
    """It loads, and then hashes, prints and reads back as the same; or its faults are told, each in a file of the workspace."""
    try:
        manifest = load_manifest(sheets.project, "exp001", sets)
    except ManifestError as error:
        assert error.faults and all(fault.message and fault.line >= 0 for fault in error.faults)
        str(error).encode("utf-8", "backslashreplace")
        return
    except CompError as error:
        assert str(error)
        return
    assert manifest.stages or manifest.is_blend or manifest.is_imported
    try:
        assert len(manifest.digest({})) == 8
    except CompError as error:
        assert str(error)
    for _, value, _ in manifest.explain():
        to_yaml(value)
    json.dumps(manifest.values).encode()
    file = sheets.project.experiments / "exp001" / "resolved.yaml"
    file.write_bytes(manifest.dump().encode())
    again = load_resolved(sheets.project, "exp001", file)
    assert json.dumps(again.values, sort_keys=True) == json.dumps(manifest.values, sort_keys=True)
    assert json.dumps(again.relevant(), sort_keys=True) == json.dumps(manifest.relevant(), sort_keys=True)


@counts(25, 1500)
def test_manifests_of_nearly_right_values(sheets, count):
    def check(given: dict[str, Any]) -> None:
        folder = sheets.write("exp001", "")
        (folder / "manifest.yaml").write_bytes(write_yaml(given).encode("utf-8", "surrogatepass"))
        demand_sense(sheets)

    explore(manifests(), count, check)


WORDS = st.sampled_from(
    [
        "loss",
        "use",
        "focal",
        "augment",
        "stages",
        "name",
        "epochs",
        "train",
        ": ",
        ":",
        "\n",
        "\n  ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "#",
        "&a ",
        "*a",
        "<<",
        "!!python/name:os.system",
        "!x ",
        "|\n",
        ">-\n ",
        "'",
        '"',
        "\\",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "? ",
        "~",
        "1e-3",
        "0x1f",
        "\t",
        "\r\n",
        "\r",
        "\ufeff",
        "\u2028",
        "\x85",
        "é",
        "\0",
        "\x1b[31m",
        "=",
        "@",
        "`",
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=4), max_size=30).map("".join).map(lambda text: text.encode("utf-8", "surrogatepass"))
BYTES = (
    TEXTS | st.binary(max_size=60) | st.builds(lambda head, mark, tail: head + mark + tail, TEXTS, st.binary(max_size=3), TEXTS)
)


@counts(30, 3000)
def test_manifests_of_any_bytes(sheets, count):
    folder = sheets.write("exp001", "")

    def check(data: bytes) -> None:
        (folder / "manifest.yaml").write_bytes(data)
        demand_sense(sheets)

    explore(BYTES, count, check)


@counts(20, 800)
def test_competitions_of_any_values(sheets, count):
    """competition.yaml, which everybody edits by hand."""
    sheets.write("exp001", "")
    file = sheets.project.competition_file
    own = unmark(parse_yaml(file.read_text(), "x")[0])
    changed = st.dictionaries(
        st.sampled_from([*own, "extra", "seed"]), PLAIN_DATA | st.sampled_from(list(own.values())), max_size=3
    )
    spoilt = st.fixed_dictionaries(
        {}, optional={key: value_of(key) for key in ("dataset", "task", "split", "metric", "submission", "leaderboard")}
    )

    def check(given: dict[str, Any] | bytes) -> None:
        text = given if isinstance(given, bytes) else write_yaml({**own, **given}).encode("utf-8", "surrogatepass")
        file.write_bytes(text)
        demand_sense(sheets)

    explore(changed | spoilt | BYTES, count, check)


PARTS = st.sampled_from(
    ["optimizer", "lr", "augment", "0", "99", "²", "-1", "stages", "use", "loss", "extends", "search", "task", "rows", "", " "]
)
KEYS = st.lists(PARTS | st.text(max_size=4), max_size=5).map(".".join)
VALUES = TEXTS.map(lambda data: data.decode("utf-8", "surrogateescape")) | st.sampled_from(
    ["1", "null", "{use: focal}", "[]", "{", "[1, {a: b}]"]
)


@counts(20, 800)
def test_settings_of_any_text(sheets, count):
    sheets.write("exp001", "augment: [{use: A.HorizontalFlip, p: 0.5}]\n")
    texts = st.builds(lambda key, equals, value: key + equals + value, KEYS, st.sampled_from(["=", "=", "=", "", "=="]), VALUES)
    explore(st.lists(texts, min_size=1, max_size=3), count, lambda sets: demand_sense(sheets, *sets))


@counts(40, 2000)
def test_plain_data_is_written_and_read_back_as_it_was(count):
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text(st.characters(codec="utf-8"), max_size=12)
    )
    keys = st.text(st.characters(codec="utf-8"), max_size=8)
    nested = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )

    def check(value: dict[str, Any]) -> None:
        text = write_yaml(value)
        node, faults = parse_yaml(text.encode().decode(), "x")
        assert not faults and node is not None and unmark(node) == value, text
        line, faults = parse_yaml(f"a: {to_yaml(value)}", "x")
        assert not faults and line is not None and unmark(line) == {"a": value}, to_yaml(value)

    explore(st.dictionaries(keys, nested, max_size=4), count, check)


# ---- bombs ---------------------------------------------------------------------------------------------------------------

BOMBS = {
    "laughs": lambda: (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20))
    ),
    "holds itself": lambda: "a: &a [*a]\nb: &b {c: *b}\n",
    "brackets": lambda: "a: " + "[" * 300_000,
    "braces": lambda: "{a: " * 100_000,
    "dashes": lambda: "- " * 100_000,
    "indents": lambda: "\n".join(" " * i + "a:" for i in range(1000)),
    "questions": lambda: "? " * 100_000,
    "many items": lambda: "- 1\n" * 240_000,
    "many in a line": lambda: "a: [" + "1," * 400_000 + "]",
    "many anchors": lambda: "".join(f"- &a{i} 1\n" for i in range(60_000)),
    "ten megabytes": lambda: "# " + "x" * 10_000_000,
    "digits": lambda: "seed: " + "9" * 900_000,
    "hex digits": lambda: "seed: 0x" + "f" * 900_000,
    "a float": lambda: "optimizer: {lr: 1e" + "9" * 900_000 + "}",
    "escapes": lambda: 'about: "' + "\\x41" * 200_000 + '"',
    "no character": lambda: 'about: "\\U00110000"',
    "half a character": lambda: 'about: "\\ud800"\n"\\udfff": 1',
    "a long key": lambda: "k" * 900_000 + ": 1",
    "a long name": lambda: "loss: {use: " + "k" * 900_000 + "}",
    "empty lines": lambda: "\n" * 900_000,
    "documents": lambda: "---\n" * 200_000,
    "unknown keys": lambda: "\n".join(f"k{i}: {i}" for i in range(19_000)),
    "long formula": lambda: "search: {optimizer.lr: {formula: " + "(" * 9000 + "1" + ")" * 9000 + "}}",
    "a tower": lambda: "search: {optimizer.lr: {formula: 9**9**9**9**9}}",
}


@pytest.mark.parametrize(
    "bomb",
    [
        name
        if name in ("laughs", "holds itself", "braces", "hex digits", "no character", "half a character")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in BOMBS
    ],
)
def test_a_bomb_is_a_fault_of_a_screen_in_bounded_time_and_memory(sheets, bomb):
    import resource
    import time

    sheets.write("exp001", BOMBS[bomb]())
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        load_manifest(sheets.project, "exp001").digest({})
    except CompError as error:
        assert len(str(error)) < 100_000
    assert time.process_time() - started < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"


def test_a_key_of_any_depth_on_the_command_line_is_a_fault(sheets):
    sheets.write("exp001", "")
    for text in (
        "a" + ".b" * 10_000 + "=1",
        ".".join("0" * 5000) + "=1",
        "augment.²=1",
        "optimizer.lr=" + "[" * 1200,
        "about=\udcff",
    ):
        with pytest.raises(ManifestError) as caught:
            load_manifest(sheets.project, "exp001", [text])
        assert len(str(caught.value)) < 10_000


def test_manifests_hold_to_their_folder(sheets):
    """`extends` and `imported` that name other places are refused or not found; none is read from outside by accident."""
    outside = Path(sheets.project.root).parent / "outside.yaml"
    outside.write_text("seed: 7\n")
    for line in (
        "extends: ../outside",
        "extends: /etc/passwd",
        f"extends: {'e' * 5000}",
        "imported: {oof: ../../../outside.yaml}",
    ):
        assert sheets.list_faults(line)
