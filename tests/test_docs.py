"""The guides cannot rot: their tables are those of the code, their manifests are checked, their commands are run in order."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comp import api
from comp.cli import main
from comp.keys import LISTS, PLAIN, SEARCH, SECTIONS, SLOTS, STAGE_PARAMETERS
from comp.manifest import load_manifest
from comp.project import Project
from comp.search import demand_space
from comp.signature import show_type
from comp.source import REQUIRED, Parameter
from comp.starters import STARTERS

DOCS = Path(__file__).parents[1] / "docs"
GUIDE = (DOCS / "guide.md").read_text(encoding="utf-8")
PLUGINS = (DOCS / "plugins.md").read_text(encoding="utf-8")
FITTED = ("image.size", "train.epochs", "train.batch_size")
FORMS = {"one": "one", "optional": "one or null", "list": "a list"}


def list_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def list_commands(text: str) -> list[str]:
    return [
        line.removeprefix("$ ") for block in list_blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")
    ]


def table_after(mark: str, text: str) -> list[str]:
    """The rows of the table that follows `<!-- mark -->`, without its head."""
    lines = text.partition(f"<!-- {mark} -->\n")[2].splitlines()
    return [line for line in lines[: next(n for n, line in enumerate(lines) if n and not line.startswith("|"))]][2:]


def describe_key(parameter: Parameter, prefix: str) -> str:
    key = f"{prefix}{parameter.name}"
    kinds = dict.fromkeys(show_type(parameter.annotation).replace("None", "null").replace("'", "").split(" | "))
    default = parameter.default
    fitted = key in FITTED or (prefix == "task." and default is None)
    shown = "fitted" if fitted else "required" if default is REQUIRED else f"`{json.dumps(default)}`"
    return f"| `{key}` | {', '.join(kinds)} | {shown} | {parameter.help} |"


def describe_slots() -> list[str]:
    return [f"| `{key}` | {FORMS[slot.form]} | {slot.kind} | {slot.help} |" for key, slot in SLOTS.items()]


def describe_keys() -> list[str]:
    sections: Sequence[tuple[str, Sequence[Parameter]]] = [
        ("", PLAIN),
        *((f"{name}.", parameters) for name, parameters in SECTIONS.items()),
        *((f"{name}.", parameters) for name, parameters in LISTS.items()),
        ("stages.", STAGE_PARAMETERS),
        ("search.", SEARCH),
    ]
    return [describe_key(parameter, prefix) for prefix, parameters in sections for parameter in parameters]


def test_the_table_of_slots_is_that_of_the_code():
    assert table_after("slots", GUIDE) == describe_slots()


def test_the_table_of_keys_is_that_of_the_code():
    assert table_after("keys", GUIDE) == describe_keys()


@pytest.mark.parametrize("text", list_blocks(GUIDE, "yaml"))
def test_every_manifest_of_the_guide_is_one(sheets, text):
    manifest = sheets.load(text, library=True)
    demand_space(manifest)
    assert manifest.stages and all(key in manifest.values for key in re.findall(r"^(\w+):", text, flags=re.MULTILINE))


def test_a_loss_for_each_target_as_the_guide_writes_it(sheets):
    [text] = re.findall(r"`(loss: \{mask.*?\}\})`", GUIDE)
    facts = (sheets.project.root / "competition.yaml").read_text()
    several = facts.replace("kind: multiclass, classes: 7", "kind: multitarget, targets: {mask: multiclass, age: ordinal}")
    (sheets.project.root / "competition.yaml").write_text(several.replace("target: label", "target: [mask, age]"))
    loss = sheets.load(text).values["loss"]
    age = {"use": "cross_entropy", "weight": 1.0, "smoothing": 0.1, "weights": "none", "beta": 0.999}
    assert loss["mask"]["use"] == "focal" and loss["age"] == age


def make_whales(home: Path) -> None:
    """Two kinds of whale that a small network can tell apart: dark ones and light ones."""
    generator = np.random.default_rng(0)
    for folder, count in (("whales/train", 40), ("whales/test", 8), ("later", 6)):
        (home / folder).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 100, (20, 24, 3)) + 150 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(home / folder / f"{folder[-4:]}_{number:03d}.png")
    rows = [f"rain_{number:03d}.png,{('blue', 'white')[number % 2]}" for number in range(40)]
    (home / "whales/train.csv").write_text("\n".join(["image,kind", *rows]) + "\n")
    asked = [f"test_{number:03d}.png,blue" for number in range(8)]
    (home / "whales/sample_submission.csv").write_text("\n".join(["image,kind", *asked]) + "\n")


def shorten(manifest: Path) -> None:
    text = manifest.read_text()
    if "blend:" not in text:
        manifest.write_text(text + "train: {epochs: 2}\n")


def test_the_commands_of_the_guide_run_in_order(tmp_path, monkeypatch, capsys):
    make_whales(tmp_path)
    monkeypatch.chdir(tmp_path)
    ran = []
    for command in list_commands(GUIDE):
        words = [word.replace("~", str(tmp_path), 1) if word.startswith("~") else word for word in shlex.split(command)]
        if words[0] == "cd":
            monkeypatch.chdir(tmp_path / words[1])
            continue
        assert words[0] == "comp"
        code = main(words[1:])
        said = capsys.readouterr()
        assert code == 0, f"{command}\n{said.out}\n{said.err}"
        if words[1] == "new":
            shorten(tmp_path / "whales/experiments" / words[2] / "manifest.yaml")
        ran.append(words[1])
    assert set(ran) == {"init", "new", "show", "check", "audit", "run", "score", "submit", "ledger", "predict", "board", "blend"}
    root = tmp_path / "whales"
    [blend] = (root / "experiments/mean12/runs").iterdir()
    written = {path.name for path in blend.iterdir()}
    assert {"manifest.resolved.yaml", "environment.json", "scores.json", "oof.parquet", "test.parquet"} <= written
    [run] = (root / "experiments/exp001/runs").iterdir()
    named = re.findall(r"`([a-z_.]+\.\w+)`", GUIDE.partition("What is written")[2].partition("\n\n")[0])
    assert len(named) == 8 and all((run / name).exists() for name in named)
    assert load_manifest(Project(root), "exp002").parents == (f"exp001@{run.name}",)
    assert len((root / "later.csv").read_text().splitlines()) == 1 + 6


def test_the_starters_in_the_guide_are_those_that_comp_writes():
    blocks = {
        kind: block for kind, block in re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```", PLUGINS, re.DOTALL | re.MULTILINE)
    }
    assert list(blocks) == [*api.KINDS]
    for kind, block in blocks.items():
        assert block == STARTERS[kind].lstrip("\n").replace("NAME", f"my_{kind}"), kind


def test_the_contract_of_each_kind_is_named():
    for kind, offers in api.OFFERS.items():
        said = PLUGINS.partition(f"\n## {kind}\n")[2].partition("\n## ")[0].partition("```")[0]
        assert all(f"`{name}`" in said for name in offers), (kind, offers)
    contracts = [
        name for name in api.__all__ if inspect.isclass(getattr(api, name)) and getattr(getattr(api, name), "_is_protocol", False)
    ]
    assert all(f"`{name}`" in PLUGINS for name in contracts)
