"""`comp init`, `new` and `show`: a workspace, an experiment, and what its manifest says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comp.cli.options import argument, complete_experiments, complete_slugs, experiment_argument, json_option, sets_option
from comp.cli.output import print_json, print_lines, relative

if TYPE_CHECKING:
    from comp.init import InitReport


@click.command("init")
@argument(
    "folder",
    "where to make it; the current folder if left out",
    required=False,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The competition's files: train.csv and images, or a folder per class. Without it: scikit-learn's digits.",
)
@click.option(
    "--competition",
    "slug",
    metavar="SLUG",
    shell_complete=complete_slugs,
    help="A competition that comp knows (or the beginning of its name): its form is taken instead of guessed.",
)
@json_option
def init_command(folder: Path | None, data: Path | None, slug: str | None, as_json: bool) -> None:
    """Make a workspace: work out competition.yaml from the data.

    Says what it concluded and why. What it could not be sure of stands as a question in the file; where a key is "?", write the
    answer there, and `comp init` again concludes the rest.
    """
    from comp.init import init_workspace

    report = init_workspace(folder or Path.cwd(), data.absolute() if data else None, slug)
    if as_json:
        found = {"file": report.file, "conclusions": report.conclusions, "questions": len(report.questions)}
        print_json({**found, "experiment": report.experiment and report.experiment.name, "fault": report.fault})
        return
    print_lines(describe_conclusions(report))
    go = f"cd {folder} && " if folder and folder.resolve() != Path.cwd() else ""
    click.echo(f"wrote {relative(report.file)}; next: {name_next(report, go)}")


def name_next(report: InitReport, go: str) -> str:
    """What to do after init."""
    from comp.unsettled import UNKNOWN

    if report.fault or any(note.value == UNKNOWN for note in report.conclusions):
        return f"settle the questions in it, then {go}comp init"
    return f"{go}comp check {report.experiment.name}" if report.experiment else f"{go}comp new exp001"


def describe_conclusions(report: InitReport) -> list[str]:
    """What was concluded and why, then what the user should settle."""
    from comp.inline import to_yaml
    from comp.report.tables import format_table

    lines = format_table(["key", "value", "why"], [[note.key, to_yaml(note.value), note.why] for note in report.conclusions])
    asked = [f"  {note.key}: {note.question}" for note in report.questions]
    return [*lines, "", *(["unsure, please settle these in the file:", *asked, ""] if asked else [])]


@click.command("new")
@argument("name", "what to call it, [a-z][a-z0-9_]*; the next free expNNN if left out", required=False)
@click.option(
    "--from",
    "source",
    metavar="OTHER",
    shell_complete=complete_experiments,
    help="Extend another experiment, a run of it (NAME@DIGEST), a trial of its searches (NAME/best, NAME/t0017) or an example.",
)
@sets_option
@json_option
def new_command(name: str | None, source: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Make an experiment: a folder with a manifest.

    The manifest holds what was chosen for this competition; every other key has a default (`comp show NAME`).
    """
    from comp.new import create_experiment
    from comp.project import find_project

    folder = create_experiment(find_project(), name, source, sets)
    if as_json:
        print_json({"name": folder.name, "folder": folder, "manifest": folder / "manifest.yaml"})
        return
    click.echo(f"made {relative(folder / 'manifest.yaml')}; next: comp check {folder.name}, comp run {folder.name}")


@click.command("show")
@experiment_argument
@sets_option
@json_option
def show_command(name: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Print the resolved manifest, and where each value comes from."""
    from comp.inline import to_yaml
    from comp.manifest import load_manifest
    from comp.project import find_project
    from comp.report.tables import format_table

    manifest = load_manifest(find_project(), name, sets)
    explained = manifest.explain()
    if as_json:
        print_json({"name": name, "values": manifest.values, "origins": {key: str(origin) for key, _, origin in explained}})
        return
    print_lines(format_table(["key", "value", "from"], [[key, to_yaml(value), str(origin)] for key, value, origin in explained]))
