"""`comp check`, `run`, `score` and `predict`: what trains, and what works on what was trained."""

from __future__ import annotations

from pathlib import Path

import click

from comp.cli.options import experiment_argument, json_option, read_folds, reference_argument, sets_option
from comp.cli.output import open_view, print_json, print_lines, print_warnings, relative


@click.command("check")
@experiment_argument
@sets_option
@click.option("--all", "read_all", is_flag=True, help="Read every image, not a sample.")
@json_option
def check_command(name: str, sets: tuple[str, ...], read_all: bool, as_json: bool) -> None:
    """Find out everything that can be known before training.

    All faults of the manifest at once, columns, images, folds, rare classes, one pass of a real batch, time and memory, and
    the submission form.
    """
    from comp.check import check_experiment
    from comp.project import find_project

    report = check_experiment(find_project(), name, sets, read_all)
    if as_json:
        print_json(report.as_dict())
        return
    for title, lines in report.sections:
        click.secho(title, bold=True)
        print_lines(f"  {line}" for line in lines)
    print_warnings(report.warnings)


@click.command("run")
@experiment_argument
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Divide into K folds, whatever the manifest says.")
@click.option("--only", callback=read_folds, metavar="0,2", help="Train these folds only, counted from 0.")
@click.option("--full", is_flag=True, help="Afterwards train on all rows, too.")
@sets_option
@click.option("--debug", is_flag=True, help="The whole path on a handful of batches, kept apart from real runs.")
@json_option
def run_command(
    name: str, folds: int | None, only: list[int] | None, full: bool, sets: tuple[str, ...], debug: bool, as_json: bool
) -> None:
    """Train the folds that are not done yet, and score them.

    Running again goes on where it stopped, or says that the run is complete. Ctrl-C saves first.
    """
    from comp.project import find_project
    from comp.run import run_experiment

    project = find_project()
    with open_view(as_json) as view:
        place = "debug" if debug else "runs"
        result = run_experiment(project, name, sets=sets, folds=folds, only=only, full=full, place=place, emit=view)
    if as_json:
        print_json(result)
        return
    report = result.folder / "report.html"
    click.echo(f"{relative(report)}" if report.exists() else relative(result.folder))
    if result.complete and not debug:
        click.echo(f"next: comp submit {name}")


@click.command("score")
@reference_argument
@click.option(
    "--metric",
    metavar="NAME",
    help="Another metric than the manifest's (a name, or as in '{use: macro_f1}'); it is printed, and not stored.",
)
@json_option
def score_command(reference: str, metric: str | None, as_json: bool) -> None:
    """Score stored out-of-fold predictions anew, without training."""
    from comp.project import find_project
    from comp.report.tables import score_lines
    from comp.score import score_run

    project = find_project()
    with open_view(as_json) as view:
        scores = score_run(project, reference, metric, view)
    if as_json:
        print_json(scores)
        return
    print_lines(score_lines(scores))


@click.command("predict")
@reference_argument
@click.option(
    "--test",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|CSV",
    help="A folder of images, or a table like test.csv.",
)
@click.option(
    "--sample",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="Sample submission whose form, ids and order to follow.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The CSV file to write."
)
@click.option(
    "--on-bad-image",
    type=click.Choice(["mean", "error"]),
    default="error",
    show_default=True,
    help="What an image that cannot be read means: an error, or the prediction of a mean image.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PAGE",
    help="Also write an HTML page of some of the images with what is predicted for them.",
)
@json_option
def predict_command(
    reference: str, test: Path, sample: Path | None, out: Path, on_bad_image: str, pictures: Path | None, as_json: bool
) -> None:
    """Predict images that were not there when the run was made.

    Needs the run's weights only; neither the training images nor their tables are read.
    """
    from comp.predict import predict_new
    from comp.project import find_project

    project = find_project()
    with open_view(as_json) as view:
        summary = predict_new(project, reference, test, sample, out, on_bad_image, view, pictures)
    if as_json:
        print_json(summary)
        return
    print_lines(f"{key}: {value}" for key, value in summary.items())
