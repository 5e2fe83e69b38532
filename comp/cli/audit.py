"""`comp audit`: whether the data let a score be believed."""

from __future__ import annotations

import sys

import click

from comp.cli.options import experiment_argument, json_option, sets_option
from comp.cli.output import print_json, print_lines, relative


@click.command("audit")
@experiment_argument
@sets_option
@click.option(
    "--groups", is_flag=True, help="Write groups.csv: what looks the same shares a group, for `split.group: lookalike`."
)
@json_option
def audit_command(name: str, sets: tuple[str, ...], groups: bool, as_json: bool) -> None:
    """Look for leaks: pictures that stand twice, divided groups, wrong labels, a shifted test set.

    Reads every picture once and trains nothing. audit/report.html shows what looks the same side by side, audit/lookalikes.csv
    lists it. The part that needs no pictures is in `comp check`, too.
    """
    from comp.audit.audit import audit_experiment
    from comp.project import find_project
    from comp.report.audited import audit_lines

    hidden = not sys.stderr.isatty()
    with click.progressbar(length=1, label="reading pictures", file=sys.stderr, hidden=hidden) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        audit = audit_experiment(find_project(), name, sets, groups, advance)
    if as_json:
        print_json(audit.as_dict())
        return
    print_lines(audit_lines(audit.as_dict()))
    where = f"{relative(audit.report)} shows what looks the same, {relative(audit.table)} lists all of it"
    print_lines(["", f"{where} ({len(audit.clusters)} groups)"])
    if audit.groups:
        click.echo(f"wrote {relative(audit.groups)}; in competition.yaml, as in split: {{use: stratified, group: lookalike}}")
