"""`comp blend` and `comp import`: experiments that are made of predictions, not trained."""

from __future__ import annotations

from pathlib import Path

import click

from comp.cli.options import argument, complete_experiments, json_option, sets_option
from comp.cli.output import open_view, print_json, print_lines, relative


@click.command("blend")
@argument(
    "members",
    "the experiments, as in exp041 exp042 exp043@DIGEST",
    nargs=-1,
    required=True,
    shell_complete=complete_experiments,
)
@click.option(
    "--use",
    default="mean",
    show_default=True,
    metavar="RULE",
    help="How: mean, geometric, rank, weighted, hillclimb, stacking (`comp plugins list blend`).",
)
@click.option("--name", metavar="NAME", help="What to call it; the next free expNNN if left out.")
@sets_option
@json_option
def blend_command(members: tuple[str, ...], use: str, name: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Make one prediction of several experiments'.

    Writes the manifest of an experiment and runs it; its score is cross-fitted over the folds. Without --name each call makes
    a new experiment. Says what each member is worth, and how alike they are.
    """
    from comp.blend import make_blend
    from comp.project import find_project

    with open_view(as_json) as view:
        made, result = make_blend(find_project(), name, use, members, sets, view)
    if as_json:
        print_json({"name": made.name, **vars(result)})
        return
    click.echo(f"{relative(made.folder / 'manifest.yaml')}; next: comp submit {made.name}")


@click.command("import")
@argument("name", "what to call it, [a-z][a-z0-9_]*")
@click.option(
    "--oof",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="Out-of-fold predictions: id, a column per class (or the value), and fold where it is known.",
)
@click.option(
    "--test",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="Test predictions, in the same columns.",
)
@json_option
def import_command(name: str, oof: Path, test: Path | None, as_json: bool) -> None:
    """Make an experiment of a team mate's predictions.

    It is blended, submitted and listed like any other. Files with other ids or classes are refused, with the difference.
    """
    from comp.imported import import_predictions
    from comp.project import find_project

    with open_view(as_json) as view:
        result = import_predictions(find_project(), name, oof, test, view)
    if as_json:
        print_json(result)
        return
    print_lines([f"imported {name} as run {result.digest}; next: comp blend {name} OTHER"])
