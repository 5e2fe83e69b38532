from __future__ import annotations

import os
import subprocess
import sys

import pytest

from comp.cli import main


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "COMPREPLY"), ("zsh", "#compdef comp"), ("fish", "complete --no-files --command comp")]
)
def test_the_script_is_clicks_own(shell, mark, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert mark in out and f"_COMP_COMPLETE={shell}_complete" in out


def test_another_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err


def complete(line: str, cwd) -> list[str]:
    """What the script asks comp for when tab is pressed."""
    words = line.split(" ")
    environment = {**os.environ, "_COMP_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; from comp.cli import main; sys.argv[0] = 'comp'; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    return [row.partition(",")[2] for row in done.stdout.split()]


def test_commands_options_and_experiments_are_completed(workspace):
    main(["new", "exp001"])
    assert complete("comp s", workspace) == ["show", "score", "submit"]
    assert complete("comp run exp", workspace) == ["exp001"]
    assert "--folds" in complete("comp run --fo", workspace)
    assert "focal" not in complete("comp plugins list l", workspace) and "loss" in complete("comp plugins list l", workspace)
