"""The command line. This module knows the names of the commands and how a program ends; the commands live in its siblings.

A command's module is imported when the command is called: `comp --help` costs little more than importing Click.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from comp import __version__

COMMANDS = {
    "init": ("workspace", "Make a workspace: work out competition.yaml from the data."),
    "new": ("workspace", "Make an experiment: a folder with a manifest."),
    "show": ("workspace", "Print the resolved manifest, and where each value comes from."),
    "check": ("runs", "Find out everything that can be known before training."),
    "audit": ("audit", "Look for leaks: pictures that stand twice, divided groups, wrong labels, a shifted test set."),
    "run": ("runs", "Train the folds that are not done yet, and score them."),
    "merge": ("runs", "Take over finished folds that were trained elsewhere, and score the run anew."),
    "tune": ("tune", "Search for better values of what a manifest's `search:` varies."),
    "score": ("runs", "Score stored out-of-fold predictions anew, without training."),
    "blend": ("blends", "Make one prediction of several experiments'."),
    "import": ("blends", "Make an experiment of a team mate's predictions."),
    "predict": ("runs", "Predict images that were not there when the run was made."),
    "submit": ("results", "Write a numbered submission, checked against the sample."),
    "ledger": ("results", "Record the score that a submission got, or list all of them."),
    "board": ("results", "Compare all experiments, and their searches."),
    "cache": ("cache", "List the stores of decoded images in .comp/cache, or remove them."),
    "plugins": ("plugins", "List, describe and start plugins."),
    "completion": ("completion", "Print the script that completes comp in your shell."),
}
"""Name -> the module of comp.cli that holds it (as `NAME_command`), and its line of help."""


class LazyGroup(click.Group):
    """Imports a command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"comp.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, f"{cmd_name}_command")

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"there is no command '{name}'" + (f"; did you mean '{near[0]}'?" if near else "."))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list:
        from click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=summary) for name, (_, summary) in COMMANDS.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="comp %(version)s")
def cli() -> None:
    """A competition kit for images: an idea is a folder with one manifest, and comp does the rest.

    \b
      comp init whales --data ~/whales     a workspace, worked out from the tables
      comp new exp001                      an experiment
      comp run exp001                      folds, scores, predictions, a report
      comp submit exp001 -m "first"        a checked, numbered submission
    """


def demand_utf8(args: Sequence[str]) -> None:
    """Raises UsageError: bytes that are no text, which nothing could be written with."""
    for text in args:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{ascii(text)} is not UTF-8") from None


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 the user's mistake, 1 a failed run or an error of comp's, 130 Ctrl-C."""
    try:
        demand_utf8(sys.argv[1:] if args is None else args)
        code = cli.main(args=args, prog_name="comp", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        from comp.cli.failure import say

        say("interrupted.")
        return 130
    except Exception as error:
        from comp.cli.failure import explain_failure

        return explain_failure(error, sys.argv[1:] if args is None else args)


def enter() -> NoReturn:
    """The program `comp`: one command in a process of its own."""
    from comp.process import begin_imports, leave

    begin_imports()
    leave(main())
