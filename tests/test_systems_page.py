"""docs/systems.md cannot rot: every row of its tables names what there is, with the values that the shipped manifests have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from comp.cli import cli
from comp.keys import MANIFEST_KEYS
from comp.manifest import load_manifest
from comp.marked import parse_yaml, unmark
from comp.project import Project
from comp.search import demand_space

ROOT = Path(__file__).parents[1]
DIGITS = Project(ROOT)
PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
HEAD = ["technique", "number", "manifest key (file)"]
SYSTEMS = ("Paintings", "Humpback whales", "Butterflies and moths", "The plain pipeline", "Masks")
GROUP = re.compile(r"((?:`[^`]+`(?:, )?)+) \(([\w., ]+)\)")
COMPETITION = "competition.yaml"


def split_rows(section: str) -> list[list[str]]:
    """The cells of each line of the section's first table, its head first."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


SECTIONS = {title: body for title, body in re.findall(r"^## \d\. ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)}
ROWS = [(title, *cells) for title, body in SECTIONS.items() for cells in split_rows(body)[2:]]


def list_entries(cell: str) -> list[tuple[str, str]]:
    """(code, file) of every key in a cell; of commands the file is empty."""
    found = [(code, files) for codes, files in GROUP.findall(cell) for code in re.findall(r"`([^`]+)`", codes)]
    alone = re.findall(r"`([^`]+)`", GROUP.sub("", cell))
    return [*((code, "" if code.startswith("comp ") else file) for code, file in found), *((code, "") for code in alone)]


def read_value(text: str) -> Any:
    node, faults = parse_yaml(text, text)
    assert not faults, faults
    return None if node is None else unmark(node)


def find_value(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def holds(given: Any, wanted: Any) -> bool:
    """Whether a manifest's value is what the page says; of mappings the page may name a part."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(key in given and holds(given[key], item) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(holds, given, wanted))
    return given == wanted


def check_command(code: str) -> None:
    words = shlex.split(code)
    command = cli.get_command(click.Context(cli), words[1])
    assert command, code
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, code


def check_key(code: str, file: str) -> None:
    """One key of a row, in the manifest (or competition.yaml) that the row names."""
    if code.startswith("--set "):
        manifest = load_manifest(DIGITS, file, [code.removeprefix("--set ")], library=True)
        if code.startswith("--set search."):
            demand_space(manifest)
        return
    path, colon, text = code.partition(": ")
    assert path.partition(".")[0] in MANIFEST_KEYS, code
    if file == COMPETITION:
        manifest = load_manifest(DIGITS, "digits_cnn", [f"{path}={text}"], library=True)
    else:
        manifest = load_manifest(DIGITS, file)
    value = find_value(manifest.values, path)
    assert not colon or holds(value, read_value(text)), f"{file}: {path} is {value}"


def test_each_system_has_its_section_and_its_table():
    assert len(SECTIONS) == len(SYSTEMS)
    for wanted, (title, body) in zip(SYSTEMS, SECTIONS.items(), strict=True):
        assert title.startswith(wanted)
        rows = split_rows(body)
        assert rows[0] == HEAD and len(rows) >= 2 + 10


@pytest.mark.parametrize(("title", "technique", "number", "keys"), ROWS, ids=[f"{row[0][:9]}-{row[2][:24]}" for row in ROWS])
def test_no_row_is_empty_and_all_that_it_names_is_so(title, technique, number, keys):
    above = [row[1] for row in ROWS[: ROWS.index((title, technique, number, keys))] if row[0] == title]
    assert technique or any(above)  # an empty first cell repeats the one above it
    entries = list_entries(keys)
    assert number and entries
    for code, file in entries:
        if code.startswith("comp "):
            check_command(code)
        else:
            assert file, f"{code}: which manifest?"
            check_key(code, file)


def test_every_manifest_of_the_page_is_shipped_and_every_shipped_one_is_on_the_page():
    folders = {path.parent.name for path in (ROOT / "experiments").glob("*/manifest.yaml")}
    shipped = {name for name in folders if not re.match(r"exp\d", name)}
    named = {file for row in ROWS for _, file in list_entries(row[3]) if file not in ("", COMPETITION)}
    assert named <= shipped
    assert {name for name in shipped if not name.startswith("digits")} <= {name for name in re.findall(r"`(\w+)`", PAGE)}


@pytest.mark.parametrize(
    ("code", "file"),
    [
        ("head.l2: 2.0e-3", "paintings"),
        ("head.l3: 1.0e-3", "paintings"),
        ("--set head.l3=1", "paintings"),
        ("--set model={use: timm, arch: xcepton}", "paintings"),
        ("dataset: {use: folder, tran: x}", COMPETITION),
        ("augment.0.rotate: [-15, 16]", "paintings"),
        ("optimiser.lr: 1.0", "paintings"),
        ("search: {train.epochs: {choice: [5, 10]}}", "masks"),
        ("--set search.optimizer.lr={loguniform: [0.0, 1.0e-4]}", "masks"),
        ("--set search.model={choice: [{use: timm, arch: tf_efficientnet_b44}]}", "masks"),
    ],
)
def test_a_wrong_row_would_be_seen(code, file):
    with pytest.raises(Exception, match=r".+"):
        check_key(code, file)
