"""Tables: the part of an audit that looks at no picture, which `comp check` does, too."""

from __future__ import annotations

import pandas as pd

from comp.api import Tables
from comp.audit.divided import find_group_columns, judge_classes, judge_groups
from comp.audit.findings import Finding, rank_findings
from comp.audit.order import judge_ids
from comp.competition import Competition
from comp.folds import Folds
from comp.groups import FILE, read_groups
from comp.manifest import Manifest
from comp.tables import name_few


def judge_tables(manifest: Manifest, competition: Competition, folds: Folds) -> list[Finding]:
    """Ids, columns that look like groups, and classes, the gravest first."""
    tables, task = competition.tables, competition.task
    columns = find_group_columns(tables, task, folds)
    found = [*judge_ids(tables, task), *judge_groups(columns, manifest.values["split"]), *judge_classes(tables, task, folds)]
    return rank_findings([*found, *judge_group_file(read_groups(competition.root), tables)])


def judge_group_file(groups: pd.DataFrame | None, tables: Tables) -> list[Finding]:
    """Whether groups.csv names units that no table has."""
    if groups is None:
        return []
    train = set(tables.train["id"])
    known = train if tables.test is None else train.union(tables.test["id"])
    strange = [name for name in groups.index if name not in known]
    if not strange:
        return []
    text = f"{len(strange)} of {len(groups)} ids in {FILE} are in no table: {name_few(strange)}"
    alone = len(train.difference(groups.index))
    return [Finding("warning", "groups", text, f"{alone} of {len(train)} training units are not in it, each a group of its own")]
