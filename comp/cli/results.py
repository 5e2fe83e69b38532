"""`comp submit`, `ledger` and `board`: what came out of the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from comp.cli.options import argument, complete_experiments, json_option, reference_argument
from comp.cli.output import open_view, print_json, print_lines, relative

if TYPE_CHECKING:
    from comp.ledger import Entry
    from comp.submit import SubmitResult
    from comp.verify import Verified


@click.command("submit")
@reference_argument
@click.option("-m", "--message", default="", metavar="TEXT", help="A note for the ledger.")
@click.option(
    "--tta",
    multiple=True,
    metavar="VIEW",
    help="Average these views (repeatable) instead of the manifest's; `none` takes the plain one only.",
)
@click.option("--full", is_flag=True, help="Submit the model trained on all rows, alone, with the folds' score beside it.")
@click.option("--partial", is_flag=True, help="Take a run of which not all folds are done.")
@click.option(
    "--verify",
    "version",
    metavar="VERSION",
    help="Make v003 again, writing nothing: are its bytes, and all that it was made from, what they were?",
)
@json_option
def submit_command(
    reference: str, message: str, tta: tuple[str, ...], full: bool, partial: bool, version: str | None, as_json: bool
) -> int:
    """Write a numbered submission, checked against the sample.

    Submissions are never changed: the same content twice says which version it equals. --verify ends with 1 where a submission,
    its weights, manifest, plugins or tables are not what they were, and names them.
    """
    from comp.project import find_project
    from comp.submit import submit_experiment

    if version is not None:
        if message or tta or full or partial:
            raise click.UsageError("--verify makes no submission; leave out -m, --tta, --full and --partial")
        return verify_version(reference, version, as_json)
    views = None if not tta else [] if tta == ("none",) else list(tta)
    project = find_project()
    with open_view(as_json) as view:
        result = submit_experiment(project, reference, message=message, tta=views, full=full, partial=partial, emit=view)
    if as_json:
        print_json(result.as_dict())
    else:
        print_lines(describe_submission(result))
    return 0


def verify_version(reference: str, version: str, as_json: bool) -> int:
    """Say whether a submission is what it was; returns the exit code."""
    from comp.project import find_project
    from comp.verify import verify_submission

    found = verify_submission(find_project(), reference, version)
    if as_json:
        print_json({**vars(found), "same": found.same})
    else:
        print_lines(describe_verified(found))
    return 0 if found.same else 1


def describe_verified(found: Verified) -> list[str]:
    again = "the same bytes came out again" if found.rebuilt else "the same bytes do not come out again"
    head = f"{relative(found.path)}: {again} (run {found.digest})" if found.digest else f"{relative(found.path)}: {again}"
    differences = [f"  {difference.part}: {difference.what}" for difference in found.differences]
    return [head, *differences, *([] if found.same else [f"{len(differences)} differences"])]


def describe_submission(result: SubmitResult) -> list[str]:
    from comp.report.tables import format_score, format_spread

    same = f"{relative(result.path)} has this content already: {result.equals}; nothing was written"
    lines = [
        (same if result.equals else f"wrote {relative(result.path)}") + f" (run {result.digest})",
        f"CV {result.metric} {format_spread(result.cv, result.cv_std)}",
    ]
    return [*lines, *(f"local leaderboard: {name} {format_score(score)}" for name, score in (result.local or {}).items())]


@click.command("ledger")
@argument("name", "the experiment; without it the ledger is listed", required=False, shell_complete=complete_experiments)
@argument("version", "its submission, as in v003", required=False)
@click.option("--public", type=float, metavar="SCORE", help="The score on the public leaderboard.")
@click.option("--private", type=float, metavar="SCORE", help="The score on the private leaderboard.")
@json_option
def ledger_command(name: str | None, version: str | None, public: float | None, private: float | None, as_json: bool) -> None:
    """Record the score that a submission got, or list all of them."""
    from comp.ledger import read_ledger, record_score
    from comp.project import find_project

    project = find_project()
    if name is not None and version is None:
        raise click.UsageError(f"which submission of {name}? As in: comp ledger {name} v001 --public 0.91")
    if name is None:
        if public is not None or private is not None:
            raise click.UsageError("which submission got this score? As in: comp ledger exp001 v001 --public 0.91")
        entries = read_ledger(project)
    elif public is None and private is None:
        raise click.UsageError("what did it score? Give --public, --private or both.")
    else:
        entries = [record_score(project, name, version, public=public, private=private)]
    if as_json:
        print_json(entries if name is None else entries[0])
        return
    print_lines(describe_ledger(entries))


def describe_ledger(entries: Sequence[Entry]) -> list[str]:
    from comp.report.tables import format_score, format_spread, format_table

    if not entries:
        return ["no submission was made yet; `comp submit NAME` makes one."]
    header = ["experiment", "version", "CV", "metric", "public", "private", "time", "message"]
    rows = [
        [
            entry.experiment,
            entry.version,
            format_spread(entry.cv, entry.cv_std),
            entry.metric,
            format_score(entry.public),
            format_score(entry.private),
            entry.time,
            entry.message,
        ]
        for entry in entries
    ]
    return format_table(header, rows, right=(2, 4, 5))


@click.command("board")
@click.option(
    "--on", metavar="FOLDS", help="Compare on the rows of these folds (0, or 0,2, or all) that every experiment predicted."
)
@json_option
def board_command(on: str | None, as_json: bool) -> None:
    """Compare all experiments, and their searches.

    Best first, by the competition's metric. Marks say what an experiment does otherwise than the competition.
    """
    from comp.board import collect_board, describe_board
    from comp.project import find_project
    from comp.searched import collect_searches, describe_searches

    project = find_project()
    rows, searches = collect_board(project, on), collect_searches(project)
    if as_json:
        print_json([*rows, *searches])
        return
    below = describe_searches(searches)
    print_lines([*describe_board(rows), *([""] if below else []), *below])
