"""Options and arguments that several commands share, so that they are called and explained the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

F = Callable[..., Any]


class NamedArgument(click.Argument):
    """An argument with a line of help, which Click's own has not."""

    def __init__(self, *args: Any, help: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.make_metavar(ctx), self.help

    def make_metavar(self, ctx: click.Context | None = None) -> str:
        """As it stands in the usage line; its signature differs between Click 8.1 and 8.2."""
        name = self.metavar or (self.name or "").upper()
        return name if self.required else f"[{name}]"


def argument(name: str, help: str, **kwargs: Any) -> Callable[[F], F]:
    """An argument that stands in the command's help with a line of its own."""
    return click.argument(name, cls=NamedArgument, help=help, **kwargs)


def complete_experiments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The experiments of the workspace that one stands in."""
    from comp.errors import WorkspaceError
    from comp.project import find_project

    try:
        return [name for name in find_project().names() if name.startswith(incomplete)]
    except WorkspaceError:
        return []


def complete_slugs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The competitions whose form comp knows."""
    from comp.project import competitions_folder

    return sorted(path.stem for path in competitions_folder().glob(f"{incomplete}*.yaml"))


def experiment_argument(function: F) -> F:
    return argument("name", "an experiment, as in exp042", shell_complete=complete_experiments)(function)


def reference_argument(function: F) -> F:
    help_line = "an experiment (its newest complete run), or NAME@DIGEST: one run of it"
    return argument("reference", help_line, metavar="NAME", shell_complete=complete_experiments)(function)


def json_option(function: F) -> F:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout; everything else goes to stderr."
    )(function)


def check_sets(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        key, equals, _ = value.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"'{value}' is no setting; wanted key=value, as in optimizer.lr=1e-3")
    return values


def sets_option(function: F) -> F:
    help_line = "Set a key of the manifest (repeatable), as in optimizer.lr=1e-3 or 'loss={use: focal}'."
    return click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", callback=check_sets, help=help_line)(function)


def read_folds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    """`0,2` -> [0, 2]; each once, in order."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"'{value}' names no folds; wanted numbers from 0 on, as in 0,2")
    return sorted({int(part) for part in parts})


def read_devices(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`0,1,cpu` -> ("0", "1", "cpu"): numbers of GPUs, and `cpu`."""
    if value is None:
        return ()
    parts = tuple(part.strip() for part in value.split(","))
    if not all(part == "cpu" or part.isdecimal() for part in parts):
        raise click.BadParameter(f"'{value}' names no devices; wanted numbers of GPUs, as in 0,1 (or cpu, as in cpu,cpu)")
    return parts


def read_per_gpu(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """`3` -> 3; auto."""
    if value is None or value == "auto":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"'{value}' is no number of folds; wanted 1 or more, or auto")
    return int(value)


def check_address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not ctx.params.get("on"):
        raise click.BadParameter("an address is a cluster's; wanted --on ray beside it")
    return value


def address_option(callback: Callable[..., Any] | None = None) -> Callable[[F], F]:
    help_line = "A Ray cluster that runs (auto: on this machine); without it one is started here."
    return click.option("--address", metavar="HOST:PORT", callback=callback, help=help_line)


def cluster_options(function: F) -> F:
    """`on` and `address`: on which cluster; None: on this machine, in the ordinary way."""
    on = click.option(
        "--on", type=click.Choice(["ray"]), is_eager=True, help="Work on a Ray cluster, all at once as far as there is room."
    )
    return on(address_option(check_address)(function))
