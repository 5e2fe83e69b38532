from __future__ import annotations

import click
import pytest

from comp.cli import cli, main
from comp.cli.options import complete_experiments, read_folds


def test_folds_are_read_once_each_and_in_order():
    assert read_folds(None, None, "2, 0,2") == [0, 2]
    assert read_folds(None, None, None) is None


@pytest.mark.parametrize("text", ["", "a", "-1", "0;1", "1.5"])
def test_what_names_no_folds_is_refused(text):
    with pytest.raises(click.BadParameter, match="wanted numbers from 0 on"):
        read_folds(None, None, text)


@pytest.mark.parametrize("text", ["lr", "=3", " =3"])
def test_a_set_without_key_or_value_is_refused(workspace, text, capsys):
    assert main(["show", "exp001", "--set", text]) == 2
    assert "key=value" in capsys.readouterr().err


def test_experiments_are_completed(workspace):
    main(["new", "exp001"])
    main(["new", "exp002"])
    assert complete_experiments(None, None, "exp") == ["exp001", "exp002"]
    assert complete_experiments(None, None, "exp002") == ["exp002"]


def test_outside_a_workspace_nothing_is_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete_experiments(None, None, "") == []


def test_arguments_stand_in_the_help(capsys):
    main(["predict", "--help"])
    out = capsys.readouterr().out
    assert "Usage: comp predict [OPTIONS] NAME" in out
    assert "NAME@DIGEST: one run of it" in " ".join(out.split())


def test_an_argument_that_may_be_left_out_is_shown_so():
    command = cli.get_command(click.Context(cli), "new")
    assert command.get_usage(click.Context(command, info_name="new")).endswith("[NAME]")
