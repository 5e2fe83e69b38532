"""The README cannot rot: its commands are run in order and say what it shows, its manifest and its plugin work as pasted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from comp.api import KINDS, Target, Task
from comp.catalog import build_catalog
from comp.cli import COMMANDS, cli, main
from comp.project import Project

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELIDED = "…"
NUMBER = re.compile(r"\d[\d,.:]*")


def list_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def list_sessions() -> Iterator[tuple[str, list[str]]]:
    """Each command of the README, with the output shown below it."""
    for block in list_blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


def mask(line: str) -> str:
    """What stays the same from run to run: digests, numbers, units of time, the device and the widths of tables do not."""
    line = re.sub(r"\b(?=\w*\d)[0-9a-f]{8}\b", "DIGEST", line)
    line = re.sub(r"just now|# (s|min|h|d)\b", "#", NUMBER.sub("#", line))
    line = re.sub(r"(DIGEST  accuracy  ).*(  # train)", r"\1DEVICE\2", line)
    return re.sub(r"─+", "─", re.sub(r"\s+", " ", line)).strip()


def demand_shown(command: str, shown: list[str], said: str) -> None:
    """Every line that the README shows is said, in that order; lines next to each other in the one are in the other."""
    lines, place, near = [mask(line) for line in said.splitlines()], 0, False
    for line in shown:
        if line == ELIDED:
            near = False
            continue
        wanted = mask(line)
        assert wanted in lines[place:], f"$ {command}\ndoes not say: {line}\nbut:\n{said}"
        found = lines.index(wanted, place)
        assert not near or found == place, f"$ {command}\nsays between the lines of the README: {lines[place:found]}"
        place, near = found + 1, True


def paste(workspace: Path, experiment: str) -> None:
    """What a reader does after `comp new`: the README's plugin into its folder. And one epoch instead of thirty."""
    folder = workspace / "experiments" / experiment
    with open(folder / "manifest.yaml", "a") as manifest:
        manifest.write("train: {epochs: 1}\n")
    [name] = re.findall(r"`experiments/exp003/(\w+\.py)`", README)
    if experiment == "exp003":
        (folder / name).write_text(list_blocks("python")[0])


def test_the_commands_run_in_order_and_say_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = set()
    for command, shown in list_sessions():
        words = shlex.split(command)
        if words[0] == "cd":
            monkeypatch.chdir(tmp_path / words[1])
            continue
        assert words[0] == "comp"
        code = main(words[1:])
        said = capsys.readouterr()
        demand_shown(command, shown, said.err if code else said.out)
        assert code == (2 if "nothing was run" in "\n".join(shown) else 0), f"$ {command}\n{said.out}\n{said.err}"
        if words[1] == "new":
            paste(tmp_path / "digits", words[2])
        ran.add(words[1])
    assert ran == {"init", "new", "check", "run", "submit", "board", "plugins"}
    trained = list((tmp_path / "digits/experiments").glob("exp00[123]/runs/*/oof.parquet"))
    assert len(trained) == 3


def test_a_line_that_is_not_said_is_noticed():
    demand_shown("x", ["a 1", ELIDED, "c 0.5 s"], "a 2\nb\nc 12 s\n")
    with pytest.raises(AssertionError, match="does not say: d"):
        demand_shown("x", ["a 1", "d"], "a 2\nb\n")
    with pytest.raises(AssertionError, match="between the lines"):
        demand_shown("x", ["a 1", "c"], "a 2\nb\nc\n")


def test_the_manifest_is_one(sheets):
    [text] = list_blocks("yaml")
    sheets.write("exp000", "seed: 7\n")
    manifest = sheets.load(text.replace("extends: exp001", "extends: exp000"), library=True)
    assert manifest.values["seed"] == 7 and [stage["epochs"] for stage in manifest.stages] == [2, 15]
    stated = {key.partition(".")[0] for key, _, origin in manifest.explain() if "exp001/manifest.yaml" in str(origin)}
    assert {*re.findall(r"^(\w+):", text, flags=re.MULTILINE)} == stated


def test_the_plugin_is_short_and_computes_what_its_paper_says(tmp_path):
    [source] = list_blocks("python")
    assert len(source.splitlines()) <= 15
    folder = tmp_path / "experiments/exp001"
    folder.mkdir(parents=True)
    (tmp_path / "competition.yaml").write_text("format: 1\n")
    (folder / "tolerant.py").write_text(source)
    catalog = build_catalog(Project(tmp_path), [folder])
    task = Task((Target("label", "multiclass", ("cat", "dog", "fox"), ("label",)),))
    outputs, targets = torch.log(torch.tensor([[0.2, 0.3, 0.5], [0.64, 0.3, 0.06]])), torch.tensor([2, 0])
    for q, expected in ((1.0, [0.5, 0.36]), (0.5, [2 * (1 - 0.5**0.5), 2 * (1 - 0.8)]), (1e-4, -np.log([0.5, 0.64]))):
        loss = catalog.build("loss", {"use": "tolerant", "q": q}, task=task, counts=None, rows=2)
        np.testing.assert_allclose(loss(outputs, targets).numpy(), expected, rtol=1e-3)


def walk(command: click.Command, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found |= walk(command.get_command(context, name), (*path, name))
    return found


def test_the_table_of_commands_is_that_of_the_help():
    rows = re.findall(r"^\| `comp (.*?)` \| (.*?) \|$", README, flags=re.MULTILINE)
    assert [(usage.split()[0], summary) for usage, summary in rows] == [(name, text) for name, (_, text) in COMMANDS.items()]
    assert all(f"`{name}" in README or f" {name} " in README for path in walk(cli) for name in path)


def test_every_option_of_every_command_is_in_the_table_and_no_other():
    rows = dict(re.findall(r"^\| `comp (\w+)(.*?)` \|", README, flags=re.MULTILINE))
    for name, usage in rows.items():
        named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", usage))
        below = [command for path, command in walk(cli).items() if path[:1] == (name,)]
        options = [parameter for command in below for parameter in command.params if isinstance(parameter, click.Option)]
        known = {word for option in options for word in option.opts}
        assert named <= known, (name, named - known)
        missing = [option.opts for option in options if option.name != "as_json" and not named & set(option.opts)]
        assert not missing, (name, missing)


def test_files_and_targets_that_are_named_exist():
    links = re.findall(r"\]\(([^)]+)\)", README)
    shipped = re.findall(r"`(experiments/digits\w*/[\w./]+)`", README)
    assert links and shipped and all((ROOT / name).is_file() for name in [*links, *shipped])
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w[\w-]*)", "".join(list_blocks("sh")), flags=re.MULTILINE)
    assert targets == ["demo", "test"] and all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_kinds_are_all_named():
    [count, names] = re.findall(r"There are (\d+) kinds: (.*?)\.\s", README, flags=re.DOTALL)[0]
    assert int(count) == len(KINDS) and tuple(re.split(r",\s+", names)) == KINDS
