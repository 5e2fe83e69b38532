"""The built wheel is whole: installed alone into a new environment it does the main job in an empty folder."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
UV = BIN / "uv"
INSTALL_TIMEOUT_S = 300
COMMAND_TIMEOUT_S = 120


def call(words: list[str | Path], folder: Path, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Output of a command that has to succeed in time, started outside the checkout and knowing nothing of it."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "COMP_WORKSPACE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    shown = " ".join(map(str, words))
    try:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{shown} took longer than {timeout_s:.0f} s (is the package registry out of reach?)\n{error.stderr or ''}")
    assert done.returncode == 0, f"{shown}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, in which an experiment was run: what building leaves behind would end up in the next wheel."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    for name in ("comp", "plugins", "experiments", "competitions"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "runs", "debug", "exp[0-9]*"))
    for left in ("exp001/manifest.yaml", "exp001/mine.py", "digits_cnn/runs/0a1b2c3d/manifest.resolved.yaml"):
        file = source / "experiments" / left
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    call([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, source], target)
    [built] = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def comp(wheel, tmp_path_factory) -> Path:
    """The `comp` of an environment that holds the wheel and what it asks for, at the versions of requirements.lock."""
    assert UV.exists(), f"{UV} is missing; `make install` puts it there"
    home = tmp_path_factory.mktemp("elsewhere")
    call([UV, "venv", "--python", sys.executable, home / "venv"], home)
    python = home / "venv" / "bin" / "python"
    locked = ["--constraints", ROOT / "requirements.lock"]
    call([UV, "pip", "install", "--python", python, *locked, wheel], home, INSTALL_TIMEOUT_S)
    return python.with_name("comp")


def test_it_holds_the_package_the_plugins_and_the_examples_and_nothing_of_a_workspace(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {name for name in names if ".dist-info/" not in name}
    packages = [path for top in ("comp", "plugins") for path in (ROOT / top).rglob("*") if path.suffix in (".py", ".j2")]
    expected = {path.relative_to(ROOT).as_posix().replace("plugins/", "comp/plugins/", 1) for path in packages}
    shipped = [file.parent.name for file in (ROOT / "experiments").glob("*/manifest.yaml")]
    examples = {f"{name}/manifest.yaml" for name in shipped if not re.match(r"exp\d", name)}
    assert {"digits_cnn/manifest.yaml", "paintings/manifest.yaml", "whales/manifest.yaml"} <= examples
    forms = {file.name for file in (ROOT / "competitions").glob("*.yaml")}
    assert len(forms) == 23
    expected |= {"comp/examples/__init__.py", *(f"comp/examples/{name}" for name in examples)}
    assert ours == expected | {"comp/competitions/__init__.py", *(f"comp/competitions/{name}" for name in forms)}


def test_its_metadata_says_what_it_is_and_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    [metadata] = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert re.search(r"^Name: comp-kit$", metadata, re.MULTILINE) and re.search(
        r"^Requires-Python: >=3\.11$", metadata, re.MULTILINE
    )
    assert metadata.rstrip().endswith((ROOT / "README.md").read_text(encoding="utf-8").rstrip())
    [scripts] = [archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "comp = comp.cli:enter" in scripts


def test_the_lock_pins_what_setup_cfg_asks_for():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    asked = "\n".join([config["options"]["install_requires"], *(extras[name] for name in extras)]).split("\n")
    pins = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0].isalpha()]
    pinned: dict[str, list[str]] = {}
    for pin in pins:
        assert len(pin.specifier) == 1 and str(pin.specifier).startswith("=="), pin
        pinned.setdefault(pin.name.replace(".", "-"), []).append(str(pin.specifier)[2:])
    for requirement in [Requirement(line) for line in asked if line]:
        found = pinned.get(requirement.name.replace(".", "-"))
        assert found and all(requirement.specifier.contains(version) for version in found), (str(requirement), found)


def test_the_main_job_in_an_empty_folder(comp, tmp_path):
    where = call(
        [comp.with_name("python"), "-c", "import comp, comp.plugins; print(comp.__file__, comp.plugins.__file__)"], tmp_path
    )
    assert all(path.startswith(str(comp.parents[1])) for path in where.split())

    assert "wrote digits/competition.yaml" in call([comp, "init", "digits"], tmp_path)
    root = tmp_path / "digits"
    tiny = ["train.epochs=2", "split.folds=2", "model.widths=[16, 32]", "model.hidden=64", "train.threads=1"]
    call([comp, "new", "exp001", *(word for text in tiny for word in ("--set", text))], root)
    result = json.loads(call([comp, "run", "exp001", "--json"], root))
    assert result["complete"] and result["scores"]["coverage"] == {"scored": 1347, "units": 1347}
    submitted = json.loads(call([comp, "submit", "exp001", "--json"], root))
    answers = (root / "submissions/exp001/v001.csv").read_text().splitlines()
    assert len(answers) == 451 and answers[0] == "id,label"
    assert submitted["local"]["public"] > 0.5
    call([comp, "new", "x", "--from", "digits_cnn"], root)
    values = json.loads(call([comp, "show", "x", "--json"], root))["values"]
    assert values["augment"][0]["use"] == "A.Affine" and values["train"]["epochs"] == 30
