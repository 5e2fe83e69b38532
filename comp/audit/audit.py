"""`comp audit`: reads every picture once and reports what would make a score a lie. Nothing is trained, no fold is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp.audit.clusters import Cluster, join_clusters, judge_clusters, list_groups, open_album
from comp.audit.findings import Finding, rank_findings
from comp.audit.shift import Shift, judge_shift, measure_shift
from comp.audit.show import show_clusters
from comp.audit.tables import judge_tables
from comp.audit.traits import Progress, Traits, read_traits
from comp.audit.twins import Twins, find_twins
from comp.competition import open_competition
from comp.errors import DataError
from comp.folds import preview_folds
from comp.groups import FILE, read_groups
from comp.manifest import Manifest, load_manifest
from comp.project import Project, atomic_write
from comp.report.audited import write_audit

COLUMN = "lookalike"
FOLDER = "audit"


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        findings: the gravest first.
        pictures: how many were looked at.
        demanded: how alike two pictures had to be, the mean of all taken off (a correlation).
        unreadable: picture -> why.
        flat: pictures that show nothing.
        clusters: units that look the same, the gravest first.
        shift: None without a test set, or with too few pictures.
        report, table: the files that were written.
        groups: groups.csv, where it was written.
    """

    experiment: str
    folds: str
    findings: tuple[Finding, ...]
    pictures: int
    demanded: float
    unreadable: dict[str, str]
    flat: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    shift: Shift | None
    report: Path
    table: Path
    groups: Path | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def audit_experiment(
    project: Project, name: str, sets: Sequence[str] = (), keep_groups: bool = False, progress: Progress | None = None
) -> Audit:
    """Audit the data of an experiment under its folds, and write audit/report.html and audit/lookalikes.csv.

    Args:
        keep_groups: write groups.csv, too: training units that look the same (or that split.group keeps together) share a group.
        progress: called with (pictures read, pictures in all).

    Raises:
        CompError: the manifest, the tables or the folds are at fault, or groups.csv cannot have its column.
    """
    manifest = load_manifest(project, name, sets)
    competition = open_competition(project, manifest, demand_images=False)
    tables, folds = competition.tables, preview_folds(project, manifest, competition)
    if keep_groups:
        check_column(project, tables.train)
    album = open_album(tables)
    traits = read_traits(album.refs, tables.root, tables.read, progress)
    twins = find_twins(traits, album.ours)
    clusters = join_clusters(album, twins, competition.task, tables.train, folds)
    is_test = (album.rows["table"] == "test").to_numpy()[album.of_row]
    good = traits.readable[album.of_picture]
    train, test = (np.unique(album.of_picture[good & (is_test == side)]) for side in (False, True))
    shift = measure_shift(traits, train, test)
    findings = rank_findings(
        [
            *judge_clusters(clusters, tables.train["id"].nunique(), folds.per_repeat),
            *judge_tables(manifest, competition, folds),
            *judge_shift(shift),
            *judge_images(traits, twins),
        ]
    )
    groups = write_groups(project, manifest, clusters, tables.train) if keep_groups else None
    folder = project.root / FOLDER
    audit = Audit(
        experiment=name,
        folds=folds.path.name,
        findings=tuple(findings),
        pictures=len(traits),
        demanded=twins.demanded,
        unreadable={traits.refs[place]: why for place, why in sorted(traits.bad.items())},
        flat=tuple(traits.refs[place] for place in twins.flat.tolist()),
        clusters=tuple(clusters),
        shift=shift,
        report=folder / "report.html",
        table=folder / "lookalikes.csv",
        groups=groups,
    )
    atomic_write(audit.table, list_members(clusters).to_csv(index=False, lineterminator="\n"))
    write_audit(audit.report, audit.as_dict(), show_clusters(clusters, tables))
    return audit


def judge_images(traits: Traits, twins: Twins) -> list[Finding]:
    found = []
    if traits.bad:
        place = min(traits.bad)
        text = f"{len(traits.bad)} of {len(traits)} pictures cannot be read, as {traits.refs[place]}: {traits.bad[place]}"
        found.append(Finding("warning", "images", text))
    if len(twins.flat):
        text = f"{len(twins.flat)} pictures show nothing (one grey all over), as {traits.refs[twins.flat[0]]}"
        found.append(Finding("note", "images", text, "they were compared with no other"))
    if twins.crowded:
        text = (
            f"{twins.crowded} pictures are so alike that each was compared with its nearest only; some lookalikes may be missing"
        )
        found.append(Finding("note", "images", text))
    return found


def list_members(clusters: Sequence[Cluster]) -> pd.DataFrame:
    """A line for each picture that has lookalikes: cluster (from 0), table, row_id, id, image, fold, label."""
    lines = [{"cluster": number, **asdict(member)} for number, cluster in enumerate(clusters) for member in cluster.members]
    table = pd.DataFrame(lines, columns=["cluster", "table", "row_id", "id", "image", "fold", "label"])
    return table.astype({"fold": "Int64"})


def check_column(project: Project, train: pd.DataFrame) -> None:
    """Raises: DataError: the training table has a column `lookalike` that is not of groups.csv."""
    kept = read_groups(project.root)
    if COLUMN in train and (kept is None or COLUMN not in kept):
        raise DataError(
            f"the training table has a column {COLUMN!r}, which --groups writes into {FILE}; rename it in the table, or audit "
            "without --groups"
        )


def write_groups(project: Project, manifest: Manifest, clusters: Sequence[Cluster], train: pd.DataFrame) -> Path:
    """Write the column `lookalike` of groups.csv. Units that were in one group before stay in one; other columns stay.

    Raises:
        DataError: groups.csv cannot be read.
        WorkspaceError: it cannot be written.
    """
    kept = read_groups(project.root)
    own = manifest.values["split"].get("group")
    columns = [column for column in dict.fromkeys((own, COLUMN)) if isinstance(column, str) and column in train]
    groups = list_groups(clusters, train, columns).rename(COLUMN)
    others = groups.to_frame() if kept is None else kept.drop(columns=COLUMN, errors="ignore").join(groups, how="outer")
    path = project.root / FILE
    atomic_write(path, others.fillna("").rename_axis("id").sort_index().to_csv(lineterminator="\n"))
    return path
