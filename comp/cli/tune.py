"""`comp tune`: search for better values of what a manifest's `search:` varies."""

from __future__ import annotations

import click

from comp.cli.options import address_option, experiment_argument, json_option, read_folds, sets_option
from comp.cli.output import open_search_view, print_json, relative

ALL = "all"


def read_only(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...] | None:
    """`0,2` -> (0, 2); `all` -> None."""
    return None if value == ALL else tuple(read_folds(ctx, param, value) or ())


def read_share(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float]:
    """`gpu=0.5,cpu=2` -> {gpu: 0.5, cpu: 2.0}"""
    found: dict[str, float] = {}
    for part in value.split(",") if value else ():
        key, _, text = (word.strip() for word in part.partition("="))
        number = float(text) if text.replace(".", "", 1).isdecimal() else -1.0
        if key not in ("cpu", "gpu") or number < 0 or (key == "cpu" and number == 0):
            raise click.BadParameter(f"'{part}' is no share of a machine; wanted cpu=N, gpu=N or both, as in gpu=0.5,cpu=2")
        found[key] = number
    if found.get("gpu", 0) > 1 and found["gpu"] % 1:
        raise click.BadParameter(f"'{value}': more than one GPU is a whole number of them")
    return found


@click.command("tune")
@experiment_argument
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="So many trials in all, whatever the manifest says.")
@click.option(
    "--only", default="0", show_default=True, callback=read_only, metavar="0,1|all", help="The folds that each trial trains."
)
@sets_option
@click.option(
    "--per-trial", "share", callback=read_share, metavar="gpu=G,cpu=C", help="What a trial is given, as in gpu=0.5,cpu=2."
)
@address_option()
@click.option("--confirm", is_flag=True, help="Afterwards train the best trial on the folds that did not choose it.")
@json_option
def tune_command(
    name: str,
    trials: int | None,
    only: tuple[int, ...] | None,
    sets: tuple[str, ...],
    share: dict[str, float],
    address: str | None,
    confirm: bool,
    as_json: bool,
) -> None:
    """Search for better values of what a manifest's `search:` varies.

    Each trial is a run of its own. Calling it again goes on where the search stopped; --trials adds to those that are there.
    Needs Ray: pip install 'comp-kit[ray]'.
    """
    from comp.project import find_project
    from comp.tuning.tune import tune_experiment
    from comp.tuning.wishes import Wishes

    wishes = Wishes(sets, trials, only, share.get("cpu"), share.get("gpu"), address, confirm)
    with open_search_view(as_json) as view:
        result = tune_experiment(find_project(), name, wishes, view)
    if as_json:
        print_json(result)
        return
    click.echo(relative(result.folder / "report.html"))
    if result.best:
        click.echo(f"next: comp new NAME --from {name}/best")
