from __future__ import annotations

import json

import pytest

from comp.api import KINDS
from comp.cli import main

PLUGIN = '''
from comp.api import Loss, Task, plugin

@plugin("loss")
def lovasz(task: Task, /, *, margin: float, per_image: bool = False) -> Loss:
    """Lovász hinge (Berman et al. 2018).

    A surrogate of the Jaccard index.

    Args:
        margin: how far outputs must be apart.
        per_image: whether images are averaged.

    Example: {use: lovasz, margin: 0.5}
    """
    raise ImportError("showing a plugin must not run it")
'''


@pytest.fixture
def own(workspace):
    (workspace / "plugins").mkdir()
    (workspace / "plugins/mine.py").write_text(PLUGIN)
    return workspace


def test_list_shows_own_and_built_in_plugins(own, capsys):
    assert main(["plugins", "list", "loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "loss" and all(line.startswith("  ") for line in lines[1:])
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:]}
    assert found["lovasz"] == "(workspace) Lovász hinge (Berman et al. 2018)." and found["focal"].startswith("Focal loss")


def test_list_groups_plugins_by_kind(workspace, capsys):
    assert main(["plugins", "list"]) == 0
    groups = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    assert [lines[0] for lines in groups] == [kind for kind in KINDS if kind in {lines[0] for lines in groups}]
    assert {"csv", "digits"} <= {line.split()[0] for line in groups[0][1:]}


def test_a_broken_file_is_named_and_the_rest_is_listed(own, capsys):
    (own / "plugins/broken.py").write_text("from comp.api import plugin\n@plugin('loss'\n")
    assert main(["plugins", "list"]) == 0
    captured = capsys.readouterr()
    assert "lovasz" in captured.out and "plugins/broken.py: " in captured.err
    assert main(["plugins", "list", "--json"]) == 0
    assert [row["file"].endswith("broken.py") for row in json.loads(capsys.readouterr().out)["broken"]] == [True]


def test_show_prints_parameters_defaults_file_and_line(own, capsys):
    assert main(["plugins", "show", "lovasz"]) == 0
    out = capsys.readouterr().out
    assert "loss lovasz  Lovász hinge (Berman et al. 2018)." in out and "plugins/mine.py:5  workspace" in out
    assert "A surrogate of the Jaccard index." in out
    rows = {line.split()[0]: line.split()[1:3] for line in out.splitlines()[-4:-2]}
    assert rows == {"margin": ["float", "(required)"], "per_image": ["bool", "False"]}
    assert out.splitlines()[-1] == "example: loss: {use: lovasz, margin: 0.5}"


def test_show_as_json(own, capsys):
    assert main(["plugins", "show", "loss.lovasz", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["example"] == "{use: lovasz, margin: 0.5}"
    assert found["parameters"][0] == {
        "name": "margin",
        "annotation": "float",
        "required": True,
        "default": None,
        "help": "how far outputs must be apart.",
    }


def test_a_name_of_several_kinds_shows_all_and_a_kind_one(workspace, capsys):
    main(["plugins", "show", "timm", "--json"])
    assert {row["kind"] for row in json.loads(capsys.readouterr().out)} == {"model", "optimizer", "scheduler"}
    main(["plugins", "show", "model.timm", "--json"])
    assert [row["kind"] for row in json.loads(capsys.readouterr().out)] == ["model"]


def test_a_librarys_name_shows_its_family(workspace, capsys):
    assert main(["plugins", "show", "A.HorizontalFlip"]) == 0
    out = capsys.readouterr().out
    assert "augment A.…" in out and "example: augment: [{use: A." in out


def test_an_unknown_plugin_says_what_is_near(workspace, capsys):
    assert main(["plugins", "show", "focl"]) == 2
    assert "did you mean 'focal'?" in capsys.readouterr().err


def test_outside_a_workspace_the_installed_ones_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "list", "mix"]) == 0
    assert "cutmix" in capsys.readouterr().out


def test_new_writes_a_plugin_that_is_then_listed(workspace, capsys):
    main(["new", "exp001"])
    assert main(["plugins", "new", "tta", "turned"]) == main(["plugins", "new", "loss", "mine", "--in", "exp001"]) == 0
    out = capsys.readouterr().out
    assert "plugins/tta/turned.py; a manifest uses it as `tta: [{use: turned}]`" in out
    assert "experiments/exp001/mine.py; a manifest uses it as `loss: {use: mine}`" in out
    main(["plugins", "list", "--in", "exp001"])
    found = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert (found["turned"], found["mine"]) == ("(workspace)", "(experiment)")
