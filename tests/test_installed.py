"""A part that comes in a package of its own, installed as anybody installs one, is found by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = '''
import torch
from comp.api import Loss, Task, plugin


@plugin("loss")
def lovely(task: Task, /, *, scale: float = 1.0) -> Loss:
    """Cross-entropy, scaled.

    Args:
        scale: factor of the loss, above 0.
    """
    return lambda outputs, targets: scale * torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
'''
SETUP = """\
[metadata]
name = kit-lovely
version = 1.0
[options]
py_modules = kit_lovely
[options.entry_points]
comp.plugins =
    loss.lovely = kit_lovely:lovely
"""


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_package_brings_a_loss(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "kit_lovely.py").write_text(PLUGIN)
    (package / "setup.cfg").write_text(SETUP)
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    (package / "pyproject.toml").write_text(build)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*pip, "--target", str(site), str(package)])
    comp = [sys.executable, "-c", "import sys; from comp.cli import main; sys.exit(main(sys.argv[1:]))"]
    paths = {"PYTHONPATH": str(site), "COMP_WORKSPACE": "", "OMP_NUM_THREADS": "1"}
    monkeypatch.chdir(tiny.root)
    assert "scale" in run([*comp, "plugins", "show", "lovely"], **paths)
    run([*comp, "run", "exp001", "--only", "0", "--set", "loss={use: lovely, scale: 0.5}"], **paths)
