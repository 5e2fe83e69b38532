"""comp.marked: YAML with the place of each value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comp.marked import DEFAULT, Marked, Origin, list_origins, mark, parse_yaml, unmark, write_yaml
from comp.overlay import merge

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_what_is_dumped_reads_back(value: Any) -> None:
    node, faults = parse_yaml(write_yaml({"key": value}), "x")
    assert not faults
    assert node is not None
    assert unmark(node) == {"key": value}


def parse(text: str) -> Marked:
    node, faults = parse_yaml(text, "f.yaml")
    assert not faults
    assert node is not None
    return node


def test_lines_are_those_of_the_key() -> None:
    node = parse("a:\n  b:\n    - 1\n    - {c: 2,\n       d: 3}\n")
    lines = {".".join(path): origin.line for path, origin in list_origins(node)}
    assert lines == {"": 1, "a": 1, "a.b": 2, "a.b.0": 3, "a.b.1": 4, "a.b.1.c": 4, "a.b.1.d": 5}
    assert node.find(("a", "b", "1", "d")).value == 3
    assert node.find(("a", "b", "7", "d")).origin.line == 2


def test_scalars_of_yaml_1_2() -> None:
    text = "a: 1e-3\nb: no\nc: on\nd: 0o17\ne: 2020-01-01\nf: ~\ng: .inf\nh: '1'\ni: 0x1f\nj: true\n0: x\nnull: y\n"
    assert unmark(parse(text)) == {
        "a": 1e-3, "b": "no", "c": "on", "d": 15, "e": "2020-01-01", "f": None, "g": float("inf"), "h": "1", "i": 31, "j": True,
        "0": "x", "null": "y",
    }  # fmt: skip


def test_merge() -> None:
    below, over = (
        mark({"a": {"x": 1, "y": 2}, "b": [1, 2], "c": {"use": "p", "k": 1}}, DEFAULT),
        parse("a: {y: 3}\nb: [4]\nc: {use: q}\nd: 1\n"),
    )
    merged = merge(below, over)
    assert unmark(merged) == {"a": {"x": 1, "y": 3}, "b": [4], "c": {"use": "q"}, "d": 1}
    assert (merged.find(("a", "x")).origin, merged.find(("a", "y")).origin) == (DEFAULT, Origin("f.yaml", 1))
    assert unmark(below) == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": {"use": "p", "k": 1}}


def test_merge_of_a_mapping_that_holds_a_plugin() -> None:
    """`model: {backbone: {use: …}}` changes the backbone of that model; only a loss may be a mapping of targets."""
    below = parse("model: {use: autoencoder, widths: [16, 8], backbone: {use: cnn, hidden: 64}}\nloss: {use: focal, gamma: 1}\n")
    found = unmark(merge(below, parse("model: {backbone: {use: timm, arch: vgg19}}\nloss: {label: {use: focal}}\n")))
    assert found["model"] == {"use": "autoencoder", "widths": [16, 8], "backbone": {"use": "timm", "arch": "vgg19"}}
    assert found["loss"] == {"label": {"use": "focal"}}


def test_merge_null() -> None:
    below, floor = mark({"a": {"use": "p", "x": 5}, "b": 1}, DEFAULT), mark({"a": {"use": "p", "x": 7}}, DEFAULT)
    over = parse("a: {x: null}\nb: null\nc: {d: null, e: 1}\n")
    assert unmark(merge(below, over, floor=floor)) == {"a": {"use": "p", "x": 7}, "c": {"e": 1}}
    assert unmark(merge(below, over, keep_null=True)) == {"a": {"use": "p", "x": None}, "b": None, "c": {"d": None, "e": 1}}
    other = mark({"a": {"use": "q", "x": 7}}, DEFAULT)
    assert unmark(merge(below, parse("a: {x: null}\n"), floor=other))["a"] == {"use": "p"}


def test_an_alias_may_repeat_a_value() -> None:
    assert unmark(parse("a: &x {k: 1}\nb: *x\n")) == {"a": {"k": 1}, "b": {"k": 1}}


def test_korean_stays_readable() -> None:
    assert write_yaml({"about": "고래"}) == "about: 고래\n"
    assert "\\" in write_yaml({"about": "a\x85b"})


@pytest.mark.parametrize("text", ["image: {size:48}", "{use: focal, gamma:3}", "augment: [{use: light, crop:0.8}]"])
def test_a_colon_without_a_space_is_said(text):
    faults = parse_yaml(text, "m.yaml")[1]
    assert len(faults) == 1 and "a colon wants a space after it: " in faults[0].message


def test_colons_in_quotes_and_values_are_text():
    assert parse_yaml('{"a:b": , c: d:e, f: null}', "m.yaml")[1] == []
