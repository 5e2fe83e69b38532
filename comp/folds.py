"""Folds: which unit is held out when. Assigned once, stored, read back; never recomputed during a run.

How units are divided is a plugin's business (kind `split`); this module only prepares what a plugin is given, and stores,
checks and serves its answer. Beside each table lies a .json that says which split it is of:

    folds/default.csv    id, fold (-1: never held out); made from competition.yaml's split
    folds/<hash>.csv     the same for any other split
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from comp.api import Units
from comp.catalog import REQUIRED, Catalog
from comp.competition import Competition
from comp.defaults import imply_uses, read_facts
from comp.errors import FoldsError, FormatError, WorkspaceError
from comp.manifest import Manifest, load_competition_file
from comp.project import Project, atomic_write, hash_json
from comp.rare import RareClasses, rare_classes
from comp.tables import name_few
from comp.units import make_units

__all__ = ["FORMAT", "Folds", "RareClasses", "open_folds", "rare_classes"]

FORMAT = 1


@dataclass(frozen=True)
class Folds:
    """The fold of every unit.

    Attributes:
        table: `id` (text, once each) and `fold` (int64; -1: never held out), of the units in the training table.
        count: how many folds; they are numbered from 0.
        path: the file they are stored in, which may hold ids that the training table no longer has.
        sha256: of `table`, whatever its order.
    """

    table: pd.DataFrame
    count: int
    path: Path
    sha256: str

    @cached_property
    def _by_id(self) -> pd.Series:
        return pd.Series(self.table["fold"].to_numpy(), index=pd.Index(self.table["id"].to_numpy(dtype=object)))

    def of(self, ids: Any) -> np.ndarray:
        """(N,) int64, the fold of each id.

        Raises:
            FoldsError: an id that has no fold.
        """
        ids = np.asarray(ids, dtype=object)
        position = self._by_id.index.get_indexer(pd.Index(ids))
        if (position < 0).any():
            raise FoldsError(f"{int((position < 0).sum())} ids have no fold in {self.path.name}: {name_few(ids[position < 0])}")
        return self._by_id.to_numpy()[position]

    def training_rows(self, table: pd.DataFrame, fold: int) -> np.ndarray:
        """(R,) int64 positions of the rows of `table` that fold `fold` trains on."""
        return np.flatnonzero(self.of(table["id"]) != fold)

    def held_out_rows(self, table: pd.DataFrame, fold: int) -> np.ndarray:
        """(R,) int64 positions of the rows of `table` that are held out in fold `fold`."""
        return np.flatnonzero(self.of(table["id"]) == fold)


def open_folds(project: Project, manifest: Manifest, competition: Competition) -> Folds:
    """The stored folds of the manifest's split; made now, where there are none. New units are added, no old one moves.

    Raises:
        FoldsError: folds that cannot be made, or that no longer fit the tables.
        FormatError: a file that a newer version wrote.
        WorkspaceError: the folder cannot be written.
    """
    rule = complete_split(manifest.catalog, manifest.values["split"])
    with lock_folds(project):
        path = choose_file(project, manifest, rule)
        units = make_units(competition)
        stored = read_folds(path) if path.exists() else None
        if stored is None:
            table = pd.DataFrame({"id": units.table["id"], "fold": assign_folds(manifest.catalog, rule, units)})
        else:
            table = add_units(manifest.catalog, rule, units, stored, path)
        if stored is None or len(table) > len(stored):
            check_folds(table, rule, competition, path)
            state = {"format": FORMAT, "split": rule, "made": datetime.now(UTC).isoformat(timespec="seconds")}
            atomic_write(path.with_suffix(".json"), json.dumps(state, indent=2, ensure_ascii=False) + "\n")
            atomic_write(path, table.to_csv(index=False, lineterminator="\n"))
    return serve_folds(table, rule, competition, path)


@contextmanager
def lock_folds(project: Project) -> Iterator[None]:
    """Two processes that need folds at once make them once. A killed process leaves no lock behind."""
    lock = FileLock(project.folds / ".lock")
    try:
        project.folds.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise WorkspaceError(f"{project.folds} cannot be written: {error.strerror}; folds are stored there") from error
    try:
        yield
    finally:
        lock.release()


def serve_folds(table: pd.DataFrame, rule: Mapping[str, Any], competition: Competition, path: Path) -> Folds:
    known = set(competition.tables.train["id"].tolist())
    own = table[[unit in known for unit in table["id"].tolist()]].reset_index(drop=True)
    check_folds(own, rule, competition, path)
    lines = sorted(f"{unit},{fold}\n" for unit, fold in zip(own["id"].tolist(), own["fold"].tolist()))
    return Folds(own, int(own["fold"].max()) + 1, path, hashlib.sha256("".join(lines).encode()).hexdigest())


# ---- which file ----------------------------------------------------------------------------------------------------------


def complete_split(catalog: Catalog, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The split with every parameter's default written out, so that the same split is recognised however it is written."""
    return {**list_defaults(catalog, spec["use"]), **spec}


def list_defaults(catalog: Catalog, use: str) -> dict[str, Any]:
    plugin, _ = catalog.find("split", use)
    return {parameter.name: parameter.default for parameter in plugin.parameters if parameter.default is not REQUIRED}


def choose_file(project: Project, manifest: Manifest, rule: Mapping[str, Any]) -> Path:
    """folds/default.csv for the split it was made of (or, before it is made, competition.yaml's); else a file by its hash.

    Raises:
        FoldsError: that file is of another split.
    """
    catalog, default = manifest.catalog, project.folds / "default.csv"
    if default.exists():
        is_default = is_same_split(catalog, read_state(default)["split"], rule)
    else:
        stated = load_competition_file(project)
        implied = imply_uses(read_facts(stated.get("task") or {}))["split"]
        is_default = is_same_split(catalog, {"use": implied, **(stated.get("split") or {})}, rule)
    if is_default:
        return default
    # Without what is as by default: a parameter that a later version adds must not give the same split another name.
    defaults = list_defaults(catalog, rule["use"])
    told = {key: value for key, value in rule.items() if key == "use" or key not in defaults or value != defaults[key]}
    path = project.folds / f"{hash_json(told)[:8]}.csv"
    if path.exists() and not is_same_split(catalog, read_state(path)["split"], rule):
        raise FoldsError(
            f"{path} holds another split ({read_state(path)['split']}) than the one wanted: {dict(rule)}; remove it and its .json"
        )
    return path


def is_same_split(catalog: Catalog, other: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    return other["use"] == rule["use"] and {**list_defaults(catalog, rule["use"]), **other} == rule


def read_state(path: Path) -> dict[str, Any]:
    """What the .json beside a table of folds says.

    Raises:
        FoldsError: it is not there or cannot be read.
        FormatError: a newer version wrote it.
    """
    file = path.with_suffix(".json")
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["format"] > FORMAT:
            raise FormatError(f"{file} has format {state['format']}; this version of comp reads up to {FORMAT}: upgrade comp")
        state["split"]["use"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FoldsError(
            f"{file} says which split {path.name} is of, and cannot be read ({error}); restore it, or remove both"
        ) from error
    return state


def read_folds(path: Path) -> pd.DataFrame:
    """Raises: FoldsError: the file is not a table of id and fold with each id once."""
    read_state(path)
    try:
        table = pd.read_csv(path, dtype={"id": str, "fold": np.int64}, na_filter=False)
    except (OSError, ValueError) as error:
        raise FoldsError(f"{path} cannot be read: {error}; restore it, or remove it to make folds anew") from error
    if list(table.columns) != ["id", "fold"] or table["id"].duplicated().any() or (table["fold"] < -1).any():
        raise FoldsError(
            f"{path} is not a table of id (once each) and fold (-1, 0, 1, ...); restore it, or remove it to make folds anew"
        )
    return table


# ---- assigning -----------------------------------------------------------------------------------------------------------


def assign_folds(catalog: Catalog, rule: Mapping[str, Any], units: Units) -> np.ndarray:
    """(U,) int64, the plugin's answer, checked.

    Raises:
        FoldsError: the plugin refuses, or its answer is not one fold a unit.
    """
    answer = np.asarray(catalog.build("split", rule, units=units))
    if answer.shape != (len(units.table),) or answer.dtype.kind not in "iu" or (answer < -1).any():
        raise FoldsError(
            f"split {rule['use']!r} returned {answer.dtype} {answer.shape}; wanted int64 ({len(units.table)},), "
            "folds from 0 on, or -1 for units that are never held out"
        )
    return answer.astype(np.int64)


def add_units(catalog: Catalog, rule: Mapping[str, Any], units: Units, stored: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The stored table, then the units that it lacks.

    A split without a seed (a column, a cut in time) says where they belong. Any other is not asked again, because its
    answer for all would move old ones: a new unit goes where its group is, else where its class is rarest.

    Raises:
        FoldsError: a split without a seed now gives old units other folds.
    """
    old = pd.Series(stored["fold"].to_numpy(), index=stored["id"]).reindex(units.table["id"])
    is_new = old.isna().to_numpy()
    if not is_new.any():
        return stored
    if "seed" not in rule:
        answer = assign_folds(catalog, rule, units)
        moved = ~is_new & (answer != old.to_numpy())
        if moved.any():
            raise FoldsError(
                f"{path}: split {rule['use']!r} now gives {int(moved.sum())} units another fold than was stored "
                f"({name_few(units.table['id'][moved].tolist())}); scores would not compare. "
                f"Undo the change, or remove {path.name} and its .json"
            )
    else:
        folds = int(stored["fold"].max()) + 1
        group = rule.get("group")
        groups = units.table[group].to_numpy(dtype=object) if group in units.table else np.arange(len(is_new))
        answer = place_units(np.where(is_new, -2, old.fillna(-2)).astype(np.int64), units.strata, groups, folds)
    added = pd.DataFrame({"id": units.table["id"][is_new], "fold": answer[is_new]})
    return pd.concat([stored, added], ignore_index=True)


def place_units(fold_of: np.ndarray, strata: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """Fill in the folds that are -2: by group, else where the stratum, then the whole, is smallest.

    A stratum of which all units are never held out (-1) stays so.
    """
    result = fold_of.copy()
    known = fold_of >= 0
    counts = np.zeros((int(strata.max()) + 1, folds), dtype=np.int64)
    np.add.at(counts, (strata[known], fold_of[known]), 1)
    never = np.zeros(len(counts), dtype=bool)
    never[strata[fold_of == -1]] = True
    never &= counts.sum(axis=1) == 0
    sizes, fold_of_group = counts.sum(axis=0), dict(zip(groups[fold_of != -2], fold_of[fold_of != -2].tolist()))
    for unit in np.flatnonzero(fold_of == -2).tolist():
        stratum = strata[unit]
        fold = fold_of_group.get(groups[unit])
        if fold is None:
            fold = -1 if never[stratum] else int(np.lexsort([sizes, counts[stratum]])[0])
            fold_of_group[groups[unit]] = fold
        result[unit] = fold
        if fold >= 0:
            counts[stratum, fold] += 1
            sizes[fold] += 1
    return result


def check_folds(table: pd.DataFrame, rule: Mapping[str, Any], competition: Competition, path: Path) -> None:
    """Raises: FoldsError: a fold that holds nobody out, or a group that stands in two folds."""
    held_out = np.bincount(table["fold"][table["fold"] >= 0])
    if not held_out.all() or not len(held_out):
        empty = np.flatnonzero(held_out == 0).tolist() or "every one"
        raise FoldsError(
            f"{path.name}: no unit is held out in fold {empty}; split: {dict(rule)}. Fewer folds, or another split, are wanted"
        )
    group, rows = rule.get("group"), competition.tables.train
    if not isinstance(group, str) or group not in rows:
        return
    fold = rows["id"].map(pd.Series(table["fold"].to_numpy(), index=table["id"]))
    several = fold.groupby(rows[group]).nunique()
    divided = several.index[several > 1].tolist()
    if divided:
        raise FoldsError(
            f"{path.name}: {len(divided)} groups of {group!r} stand in two folds ({name_few(divided)}): an id with rows of two "
            "groups, or groups that changed since the folds were stored. "
            f"Correct the table, or remove {path.name} and its .json to make folds anew"
        )
