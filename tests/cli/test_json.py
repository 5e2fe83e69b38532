"""`--json` on every command that prints results: stdout is one JSON value, whatever is said besides goes to stderr."""

from __future__ import annotations

import pytest

COMMANDS = {
    "check": ["check", "exp001"],
    "audit": ["audit", "exp001"],
    "show": ["show", "exp001"],
    "run": ["run", "exp001"],
    "debug": ["run", "exp001", "--debug"],
    "score": ["score", "exp001"],
    "score another": ["score", "exp001", "--metric", "log_loss"],
    "predict": ["predict", "exp001", "--test", "data/test", "--out", "out.csv"],
    "submit": ["submit", "exp001"],
    "submit tta": ["submit", "exp001", "--tta", "hflip"],
    "blend": ["blend", "exp001", "--use", "hillclimb"],
    "ledger": ["ledger"],
    "board": ["board"],
    "board on": ["board", "--on", "0"],
    "cache": ["cache"],
    "cache clear": ["cache", "--clear", "--older-than", "7d"],
    "new": ["new", "exp002"],
    "init": ["init", "elsewhere"],
    "plugins": ["plugins", "list"],
    "plugin": ["plugins", "show", "focal"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_stdout_is_json(tiny_run, name):
    said = tiny_run.comp(*COMMANDS[name], "--json")
    assert said.code == 0, said.err
    assert isinstance(said.json, (dict, list))


def test_a_score_that_was_recorded(tiny_run):
    tiny_run.comp("submit", "exp001")
    said = tiny_run.comp("ledger", "exp001", "v001", "--public", "0.91", "--json")
    assert said.json["public"] == 0.91
