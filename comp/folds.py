"""Folds: which unit is held out when. Assigned once, stored, read back; never recomputed during a run.

How units are divided is a plugin's business (kind `split`), asked in assigning; this module stores, checks and serves the
answer. Beside each table lies a .json that says which split it is of:

    folds/default.csv    id, fold (-1: never held out), repeat (repeated K-fold only); made from competition.yaml's split
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

from comp.assigning import add_units, assign_table, count_repeats
from comp.catalog import Catalog
from comp.competition import Competition
from comp.defaults import imply_uses, read_facts
from comp.errors import FoldsError, FormatError, WorkspaceError
from comp.keys import LIMITS
from comp.manifest import Manifest, load_competition_file
from comp.project import Project, atomic_write, hash_json
from comp.rare import RareClasses, rare_classes
from comp.signature import fill_defaults, list_parameters
from comp.tables import name_few
from comp.units import make_units

__all__ = ["FORMAT", "Folds", "RareClasses", "open_folds", "rare_classes"]

FORMAT = 1
MOST_FOLDS, MOST_REPEATS = (int(LIMITS[f"split.{key}"][1]) for key in ("folds", "repeats"))


@dataclass(frozen=True)
class Folds:
    """The fold of every unit, in every repeat. Of K folds repeat r has the numbers r * K to r * K + K - 1.

    Attributes:
        table: `id` (text, once each in every repeat), `fold` (int64; -1: never held out) and, of several repeats, `repeat`
            (int64 from 0), of the units in the training table.
        path: the file they are stored in, which may hold ids that the training table no longer has.
        sha256: of `table`, whatever its order.
    """

    table: pd.DataFrame
    path: Path
    sha256: str

    @property
    def count(self) -> int:
        """How many folds there are in all; they are numbered from 0."""
        return int(self.table["fold"].max()) + 1

    @property
    def repeats(self) -> int:
        return count_repeats(self.table)

    @property
    def per_repeat(self) -> int:
        """How many folds a repeat has."""
        return self.count // self.repeats

    @cached_property
    def _by_id(self) -> tuple[pd.Index, np.ndarray]:
        """The ids, and (repeats, ids) their folds."""
        if self.repeats == 1:
            return pd.Index(self.table["id"].to_numpy(dtype=object)), self.table["fold"].to_numpy()[None]
        wide = self.table.pivot(index="repeat", columns="id", values="fold")
        return pd.Index(wide.columns.to_numpy(dtype=object)), wide.to_numpy(dtype=np.int64)

    def of_all(self, ids: Any) -> np.ndarray:
        """(repeats, N) int64, the fold of each id in every repeat.

        Raises:
            FoldsError: an id that has no fold.
        """
        ids, (known, folds) = np.asarray(ids, dtype=object), self._by_id
        position = known.get_indexer(pd.Index(ids))
        if (position < 0).any():
            raise FoldsError(f"{int((position < 0).sum())} ids have no fold in {self.path.name}: {name_few(ids[position < 0])}")
        return folds[:, position]

    def of(self, ids: Any) -> np.ndarray:
        """(N,) int64, the fold of each id in the first repeat."""
        return self.of_all(ids)[0]

    def training_rows(self, table: pd.DataFrame, fold: int) -> np.ndarray:
        """(R,) int64 positions of the rows of `table` that fold `fold` trains on."""
        return np.flatnonzero((self.of_all(table["id"]) != fold).all(axis=0))

    def held_out_rows(self, table: pd.DataFrame, fold: int) -> np.ndarray:
        """(R,) int64 positions of the rows of `table` that are held out in fold `fold`."""
        return np.flatnonzero((self.of_all(table["id"]) == fold).any(axis=0))


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
        stored, table = work_out_table(manifest, competition, rule, path)
        if stored is None or len(table) > len(stored):
            check_folds(table, rule, competition, path)
            state = {"format": FORMAT, "split": rule, "made": datetime.now(UTC).isoformat(timespec="seconds")}
            atomic_write(path.with_suffix(".json"), json.dumps(state, indent=2, ensure_ascii=False) + "\n")
            atomic_write(path, table.to_csv(index=False, lineterminator="\n"))
    return serve_folds(table, rule, competition, path)


def preview_folds(project: Project, manifest: Manifest, competition: Competition) -> Folds:
    """The same folds, and nothing is written: whoever looks before anything is trained may yet want another split.

    Raises:
        FoldsError: folds that cannot be made, or that no longer fit the tables.
        FormatError: a file that a newer version wrote.
    """
    rule = complete_split(manifest.catalog, manifest.values["split"])
    path = choose_file(project, manifest, rule)
    return serve_folds(work_out_table(manifest, competition, rule, path)[1], rule, competition, path)


def work_out_table(
    manifest: Manifest, competition: Competition, rule: Mapping[str, Any], path: Path
) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """What is stored (None: nothing is), and the same with what it lacks."""
    units = make_units(competition)
    if not path.exists():
        return None, assign_table(manifest.catalog, rule, units)
    stored = read_folds(path)
    return stored, add_units(manifest.catalog, rule, units, stored, path)


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
    return Folds(own, path, hashlib.sha256("".join(lines).encode()).hexdigest())


# ---- which file ----------------------------------------------------------------------------------------------------------


def complete_split(catalog: Catalog, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The split with every parameter's default written out, so that the same split is recognised however it is written."""
    return {**list_defaults(catalog, spec["use"]), **spec}


def list_defaults(catalog: Catalog, use: str) -> dict[str, Any]:
    plugin, _ = catalog.find("split", use)
    return fill_defaults(list_parameters(plugin))


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
        implied = imply_uses(read_facts(stated.get("task") or {}, stated.get("dataset") or {}))["split"]
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
        table = pd.read_csv(path, dtype={"id": str, "fold": np.int64, "repeat": np.int64}, na_filter=False)
    except (OSError, ValueError) as error:
        raise FoldsError(f"{path} cannot be read: {error}; restore it, or remove it to make folds anew") from error
    keys = ["id", "repeat"] if "repeat" in table else ["id"]
    known = list(table.columns) in (["id", "fold"], ["id", "fold", "repeat"])
    if not known or not len(table) or table[keys].duplicated().any() or not are_numbers(table):
        raise FoldsError(
            f"{path} is not a table of id (once each, in each repeat) and fold (-1, 0, 1, ...); "
            "restore it, or remove it to make folds anew"
        )
    return table


def are_numbers(table: pd.DataFrame) -> bool:
    """Whether folds and repeats are such as comp gives them; a number of eighteen digits is no fold."""
    folds, repeats = table["fold"], table["repeat"] if "repeat" in table else pd.Series([0])
    in_range = folds.between(-1, MOST_FOLDS * MOST_REPEATS - 1).all() and repeats.between(0, MOST_REPEATS - 1).all()
    return bool(in_range and len(table) % count_repeats(table) == 0)


# ---- checking ------------------------------------------------------------------------------------------------------------


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
    divided: dict[Any, None] = {}
    for _, part in table.groupby(table.get("repeat", pd.Series(0, table.index))):
        fold = rows["id"].map(pd.Series(part["fold"].to_numpy(), index=part["id"]))
        several = fold.groupby(rows[group]).nunique()
        divided |= dict.fromkeys(several.index[several > 1])
    if divided:
        raise FoldsError(
            f"{path.name}: {len(divided)} groups of {group!r} stand in two folds ({name_few(list(divided))}): an id with rows "
            "of two groups, or groups that changed since the folds were stored. "
            f"Correct the table, or remove {path.name} and its .json to make folds anew"
        )
