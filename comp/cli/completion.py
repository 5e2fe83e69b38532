"""`comp completion`: Click's own completion scripts, printed."""

from __future__ import annotations

import click

from comp.cli import cli
from comp.cli.options import argument

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@argument("shell", "bash, zsh or fish", type=click.Choice(SHELLS), metavar="SHELL")
def completion_command(shell: str) -> None:
    """Print the script that completes comp in your shell.

    \b
      bash   comp completion bash >> ~/.bashrc
      zsh    comp completion zsh >> ~/.zshrc
      fish   comp completion fish > ~/.config/fish/completions/comp.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    # Formatting the template ourselves: `source()` starts bash to ask for its version.
    completion = script(cli, {}, "comp", "_COMP_COMPLETE")
    click.echo(completion.source_template % completion.source_vars())
