"""`comp check`, `run`, `merge`, `score` and `predict`: what trains, and what works on what was trained."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from comp.cli.options import (
    argument,
    cluster_options,
    complete_experiments,
    experiment_argument,
    json_option,
    read_devices,
    read_folds,
    read_per_gpu,
    reference_argument,
    sets_option,
)
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
@argument("names", "experiments, as in exp042", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_experiments)
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Divide into K folds, whatever the manifest says.")
@click.option("--only", callback=read_folds, metavar="0,2", help="Train these folds only, counted from 0.")
@click.option("--full", is_flag=True, help="Afterwards train on all rows, too.")
@sets_option
@click.option("--debug", is_flag=True, help="The whole path on a handful of batches, kept apart from real runs.")
@click.option("--profile", is_flag=True, help="Measure where the time of each epoch goes, and say what would save some.")
@click.option(
    "--gpus",
    "devices",
    callback=read_devices,
    metavar="0,1",
    help="Folds side by side, one at a time on each of these GPUs ('cpu,cpu': two on the CPU, which share its cores).",
)
@click.option(
    "--per-gpu",
    callback=read_per_gpu,
    metavar="N",
    help="So many at a time on each of --gpus, as far as its memory holds them; auto: as many as it holds.",
)
@cluster_options
@click.option("--ship", is_flag=True, help="Send the nodes what folds need, where they do not share the workspace's folder.")
@click.option("--storage", metavar="URI", help="Where folds that were shipped are kept meanwhile, as in s3://bucket/runs.")
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Save and end in time, with what is done merged; running again goes on.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="First take over what a copy of the run, anywhere below this folder, has finished or begun.",
)
@json_option
def run_command(
    names: tuple[str, ...],
    devices: tuple[str, ...],
    per_gpu: Any,
    on: str | None,
    address: str | None,
    ship: bool,
    storage: str | None,
    as_json: bool,
    debug: bool,
    **wishes: Any,
) -> None:
    """Train the folds that are not done yet, and score them.

    Running again goes on where it stopped, or says that the run is complete. Ctrl-C saves first. Of several experiments one
    follows the other; with --gpus their folds share the devices.
    """
    if per_gpu is not None and not any(device != "cpu" for device in devices):
        raise click.UsageError("--per-gpu is of the GPUs that --gpus names, as in --gpus 0 --per-gpu auto")
    from comp.project import find_project
    from comp.scale.distribute import choose_train
    from comp.scale.several import run_several

    project = find_project()
    train, options = choose_train(on, devices, {"address": address, "ship": ship, "storage": storage})
    wishes |= {"place": "debug" if debug else "runs", "options": options}
    with open_view(as_json) as view:
        results = run_several(project, names, devices, per_gpu=per_gpu, train=train, emit=view, **wishes)
    if as_json:
        print_json(results[names[0]] if len(names) == 1 else results)
        return
    for name, result in results.items():
        report = result.folder / "report.html"
        click.echo(f"{relative(report)}" if report.exists() else relative(result.folder))
        if result.complete and not debug:
            click.echo(f"next: comp submit {name}")


@click.command("merge")
@argument(
    "source",
    "a copied run's folder, or a folder above some",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@argument("name", "the experiment that they are of; by default they say it", required=False, shell_complete=complete_experiments)
@json_option
def merge_command(source: Path, name: str | None, as_json: bool) -> None:
    """Take over finished folds that were trained elsewhere, and score the run anew.

    Their files are checked by the hashes that they were written with; what is here already stays as it is.
    """
    from comp.join import join_folder
    from comp.project import find_project
    from comp.report.tables import score_lines

    project = find_project()
    with open_view(as_json) as view:
        results = join_folder(project, source, name, view)
    if as_json:
        print_json(results)
        return
    for result in results:
        if result.scores:
            print_lines(
                [*score_lines(result.scores), f"{relative(result.folder)}: folds {', '.join(result.scores['folds_done'])}"]
            )


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
@cluster_options
@json_option
def predict_command(
    reference: str,
    test: Path,
    sample: Path | None,
    out: Path,
    on_bad_image: str,
    pictures: Path | None,
    on: str | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Predict images that were not there when the run was made.

    Needs the run's weights only; neither the training images nor their tables are read. On a cluster the test rows are
    divided over its nodes, which must see the workspace's folder.
    """
    from comp.predict import gather_here, predict_new
    from comp.project import find_project
    from comp.scale.sharded import open_shards

    project = find_project()
    with open_view(as_json) as view, open_shards(address, view) if on else nullcontext(gather_here) as gather:
        summary = predict_new(project, reference, test, sample, out, on_bad_image, view, pictures, gather)
    if as_json:
        print_json(summary)
        return
    print_lines(f"{key}: {value}" for key, value in summary.items())
