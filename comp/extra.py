"""Extra tables: rows from elsewhere that join the training part of every fold, and are never held out or scored.

A table is opened by the dataset plugin `csv` (the manifest's own, where that is one), its labels are brought to ours, and its
rows get ids that no training row has. Near-duplicates of held-out images are for comp.material to leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from comp.api import Tables, Target
from comp.competition import Competition, check_targets, hash_tables
from comp.errors import DataError
from comp.manifest import Manifest
from comp.tables import check_images, check_tables, name_few, raise_faults


@dataclass(frozen=True)
class ExtraTable:
    """Rows of one extra table, under our names and labels.

    Attributes:
        name: the table's file.
        left_out: rows whose label has none of ours.
        weight: of each row, where a row of the training table has 1 on average.
    """

    name: str
    tables: Tables
    weight: float
    left_out: int
    sha256: str

    def describe(self) -> str:
        left = f", {self.left_out} left out by their label" if self.left_out else ""
        return f"extra {self.name}: {len(self.tables.train)} rows, trained on in every fold with weight {self.weight:g}{left}"


def open_extra(manifest: Manifest, competition: Competition) -> tuple[ExtraTable, ...]:
    """The manifest's `extra` tables.

    Raises:
        DataError: all faults of a table: columns, labels that are none of ours, images that are not there.
    """
    return tuple(open_one(manifest, competition, number, item) for number, item in enumerate(manifest.values["extra"]))


def open_one(manifest: Manifest, competition: Competition, number: int, item: Mapping[str, Any]) -> ExtraTable:
    wanted = [*competition.tables.targets, *competition.tables.auxiliary]
    theirs = [item["target"]] if isinstance(item["target"], str) else item["target"] or wanted
    where = f"extra.{number} ({item['table']})"
    if len(theirs) != len(wanted):
        raise DataError(f"{where}: target names {len(theirs)} columns; wanted one for each of ours: {', '.join(wanted)}")
    if item["weight"] < 0:
        raise DataError(f"{where}: weight is {item['weight']}; wanted 0 or more")
    spec = spell_out(manifest, competition, item, theirs)
    # Its pixels are scaled as ours are: 0.7 must be as bright there as here.
    facts = competition.tables.facts or None
    opened = manifest.catalog.build("dataset", spec, root=manifest.project.root, facts=facts)
    try:
        raise_faults([*check_tables(opened), *(check_images(opened) if manifest.values["on_bad_image"] == "error" else [])])
        table, left_out = bring_to_ours(opened.train, dict(zip(theirs, wanted, strict=True)), competition, read_labels(item))
        table = table.assign(row_id=f"extra{number}:" + table["row_id"], id=f"extra{number}:" + table["id"])
        raise_faults(check_targets(competition.trained, table))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    tables = replace(opened, train=table, targets=competition.tables.targets, auxiliary=competition.tables.auxiliary)
    return ExtraTable(str(item["table"]), tables, float(item["weight"]), left_out, hash_tables(opened))


def spell_out(manifest: Manifest, competition: Competition, item: Mapping[str, Any], theirs: Sequence[str]) -> dict[str, Any]:
    """The dataset mapping that opens an extra table: what it does not say is as in the manifest's own."""
    own = manifest.values["dataset"]
    data = {"data": own["data"]} if own.get("data") is not None else {}
    spec = {**own} if own["use"] == "csv" else {"use": "csv", **data}
    count = len(competition.tables.targets)
    spec |= {"train": item["table"], "test": None, "sample": None, "weight": None, "one_hot": None}
    spec |= {"columns": list(competition.tables.columns)}
    spec |= {"target": list(theirs[:count]), "auxiliary": list(theirs[count:])}
    spec |= {key: item[key] for key in ("data", "images", "image") if item[key] is not None}
    if item["id"] is not None:
        spec |= {"id": item["id"], "row": None}
    return spec


def read_labels(item: Mapping[str, Any]) -> dict[str, str | None]:
    """Their label -> ours; None for one whose rows are left out."""
    return {**(item["labels"] or {}), **dict.fromkeys(item["leave_out"] or ())}


def bring_to_ours(
    table: pd.DataFrame, columns: Mapping[str, str], competition: Competition, labels: Mapping[str, str | None]
) -> tuple[pd.DataFrame, int]:
    """The table with our names of the targets and our labels, and how many rows are left out.

    Raises:
        DataError: a label that is neither ours nor mapped.
    """
    table = table.drop(columns=[ours for name, ours in columns.items() if name != ours and ours in table]).rename(columns=columns)
    kept = pd.Series(True, index=table.index)
    faults: list[str] = []
    targets = competition.trained.targets
    mapped = [target for target in targets if target.columns == (target.name,) and target.kind != "multilabel"]
    ours = {name for target in mapped for name in target.classes}
    if wrong := [label for label in labels.values() if label is not None and label not in ours]:
        faults.append(f"labels maps to {name_few(wrong)}, which no target has")
    for target in (target for target in mapped if target.classes):
        table[target.name], known = map_labels(table[target.name], target, labels, faults)
        kept &= known
    raise_faults(faults)
    if not kept.any():
        raise DataError("no row is left: leave_out names every label")
    return table[kept].reset_index(drop=True), int((~kept).sum())


def map_labels(
    values: pd.Series, target: Target, labels: Mapping[str, str | None], faults: list[str]
) -> tuple[pd.Series, pd.Series]:
    """Our labels, and which rows have one; what is neither ours nor mapped is added to `faults`."""
    given = values.unique().tolist()
    strange = [label for label in given if label not in labels and label not in target.classes]
    if strange:
        faults.append(
            f"{len(strange)} labels of {target.name!r} are none of ours: {name_few(strange)}; say in `labels` which of ours they "
            "are, or leave their rows out: `leave_out`"
        )
    ours = {label: labels.get(label, label) for label in given}
    return values.map(ours), values.map({label: mapped is not None for label, mapped in ours.items()}).astype(bool)
