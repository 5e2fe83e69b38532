"""The command line as a whole: every command and option is explained, nothing heavy is imported, every ending has its code."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from comp import __version__
from comp.cli import COMMANDS, cli, main

HEAVY = ("torch", "timm", "pandas", "albumentations", "numpy", "sklearn", "cv2", "rich")


def walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found += walk(command.get_command(context, name), (*path, name))
    return found


ALL = walk(cli, ("comp",))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_and_parameter_has_help(path, command):
    assert command.help and len(command.help.splitlines()[0]) > 10, path
    for parameter in command.params:
        assert getattr(parameter, "help", None), (path, parameter.name)


def test_the_issues_commands_are_there():
    names = {" ".join(path[1:]) for path, _ in ALL}
    wanted = {"init", "new", "show", "check", "run", "score", "predict", "submit", "ledger", "board", "completion"}
    assert wanted | {"plugins list", "plugins show", "plugins new"} <= names


def test_every_command_that_prints_results_has_json():
    without = [
        path[1:]
        for path, command in ALL
        if not isinstance(command, click.Group) and "as_json" not in {p.name for p in command.params}
    ]
    assert without == [("completion",)]


def test_the_list_of_commands_says_what_their_help_says():
    context = click.Context(cli)
    for name, (_, summary) in COMMANDS.items():
        assert cli.get_command(context, name).help.splitlines()[0] == summary


def modules_after(*args: str) -> set[str]:
    code = "import sys\nfrom comp.cli import main\nmain(sys.argv[1:])\nprint('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_help_imports_click_and_nothing_of_ours_besides():
    modules = modules_after("--help")
    assert not modules & {*HEAVY, "pydantic", "ruamel.yaml", "comp.api", "importlib.metadata"}
    assert {name for name in modules if name.startswith("comp.")} == {"comp.cli"}


@pytest.mark.parametrize(
    "args", [("plugins", "list"), ("plugins", "show", "focal"), ("new", "--help"), ("completion", "bash")], ids=" ".join
)
def test_looking_around_imports_nothing_heavy(args):
    assert not modules_after(*args) & set(HEAVY)


def test_new_imports_nothing_heavy(workspace):
    assert not modules_after("new", "exp007") & set(HEAVY)
    assert (workspace / "experiments/exp007/manifest.yaml").exists()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"comp {__version__}"


def test_an_unknown_command_is_the_users_mistake(capsys):
    assert main(["bord"]) == 2
    assert "there is no command 'bord'; did you mean 'board'?" in capsys.readouterr().err


def test_an_unknown_option_is_the_users_mistake(capsys):
    assert main(["run", "exp001", "--fold", "3"]) == 2
    assert "--folds" in capsys.readouterr().err


def test_outside_a_workspace_a_message_and_no_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["show", "exp001"]) == 2
    err = capsys.readouterr().err
    assert "comp init" in err and "Traceback" not in err


def test_ctrl_c_is_130(workspace, monkeypatch, capsys):
    def collect_board(project, on):
        raise KeyboardInterrupt

    monkeypatch.setattr("comp.board.collect_board", collect_board)
    assert main(["board"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_json_is_the_only_thing_on_stdout(workspace, capsys):
    assert main(["new", "exp009", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "exp009"
