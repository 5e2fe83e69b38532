"""Predictions: the raw outputs that each fold stores, and the two files of a run that people read (OOF and test).

Raw files (`fold0/oof.parquet`, ...) hold float32 outputs with `id`, `row_id`, `view`, `seed`; they only ever gain rows. The
run's files hold probabilities or values, one row per id. Everything is joined by id. Which views and folds count is the
caller's decision; how raw outputs are made is the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from comp.aggregate import aggregate_rows, average_rows
from comp.api import Link, Task
from comp.errors import PredictionsError
from comp.ids import demand_same_ids, locate_ids, name_ids
from comp.parquet import Stored, make_table, read_table, take_apart, write_table
from comp.project import hold_lock
from comp.runs import fold_folder


@dataclass(frozen=True)
class Raw:
    """What a model put out for the rows of a fold; one entry per row, view and seed.

    Attributes:
        links: target name -> how its outputs become probabilities.
        ids, row_ids, views: (R,) text.
        seeds: (R,) int64.
        outputs: (R, task.outputs) float32; of a wide target the classes beyond the top share what is left equally.
    """

    task: Task
    links: dict[str, Link]
    ids: np.ndarray
    row_ids: np.ndarray
    views: np.ndarray
    seeds: np.ndarray
    outputs: np.ndarray

    def of_seed(self, seed: int) -> Raw:
        kept = self.seeds == seed
        ids, row_ids, views, seeds = (part[kept] for part in (self.ids, self.row_ids, self.views, self.seeds))
        return Raw(self.task, self.links, ids, row_ids, views, seeds, self.outputs[kept])


@dataclass(frozen=True)
class Predictions:
    """One prediction per unit.

    Attributes:
        ids: (N,) text, each once.
        values: (N, task.outputs) float64 probabilities, or values.
        fold: (N,) int64, the fold that held the unit out; None for test predictions.
    """

    task: Task
    ids: np.ndarray
    values: np.ndarray
    fold: np.ndarray | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.task.columns


# ---- raw outputs of a fold -----------------------------------------------------------------------------------------------


def write_raw(
    path: Path,
    task: Task,
    ids: Sequence[str],
    row_ids: Sequence[str],
    views: Mapping[str, np.ndarray],
    seed: int,
    links: Mapping[str, Link],
) -> int:
    """Add views (name -> outputs (N, task.outputs)) of the same rows to the file; returns how many outputs were new.

    A row that the file already has under a view and seed stays as it is, so that writing again after a kill is harmless.

    Raises:
        PredictionsError: outputs that are not finite; or the file holds outputs of another task or for another link.
    """
    links = {target.name: links.get(target.name, target.link) for target in task.targets}
    ids, row_ids = np.asarray(ids, dtype=object), np.asarray(row_ids, dtype=object)
    for view, outputs in views.items():
        assert outputs.shape == (len(ids), task.outputs), (view, outputs.shape, len(ids), task.outputs)
        broken = ~np.isfinite(outputs).all(axis=1)
        if broken.any():
            raise PredictionsError(
                f"the model put out NaN or infinity for {name_ids(row_ids[broken], 'row')} in view {view!r}; nothing was "
                f"written to {path}. Training has diverged: try a lower optimizer.lr, or train.precision: 32"
            )
    with hold_lock(path.with_name(f".{path.name}.lock")):
        tables = [read_table(path, "raw")] if path.exists() else []
        old = take_apart(tables[0], path) if tables else None
        if old is not None:
            _demand_same(old, task, links, path)
        count = 0
        for view, outputs in views.items():
            fresh = np.ones(len(ids), dtype=bool)
            if old is not None:
                fresh = ~pd.Index(row_ids).isin(old.keys["row_id"][(old.keys["view"] == view) & (old.keys["seed"] == seed)])
            count += (rows := int(fresh.sum()))
            keys = {
                "id": ids[fresh],
                "row_id": row_ids[fresh],
                "view": np.full(rows, view, dtype=object),
                "seed": np.full(rows, seed),
            }
            tables.append(make_table(Stored("raw", task, links, keys, outputs[fresh].astype(np.float32))))
        if count or old is None:
            write_table(path, pa.concat_tables(tables))
    return count


def read_raw(path: Path) -> Raw:
    """The raw outputs in a fold's file.

    Raises:
        PredictionsError: the file is missing or not one of raw outputs.
        FormatError: a newer comp wrote it.
    """
    stored = take_apart(read_table(path, "raw"), path)
    keys = stored.keys
    return Raw(stored.task, stored.links, keys["id"], keys["row_id"], keys["view"], keys["seed"], stored.values)


def link_outputs(outputs: np.ndarray, task: Task, links: Mapping[str, Link]) -> np.ndarray:
    """Probabilities or values (N, outputs) float64 from raw outputs, each target by its link (default: Target.link).

    A target with one class per row whose loss took each class against the rest (link sigmoid) is answered by the sigmoids
    over their sum, evenly where all of them are 0: rows sum to 1.
    """
    linked = np.empty(outputs.shape, dtype=np.float64)
    for target in task.targets:
        part = outputs[:, task.slices[target.name]].astype(np.float64)
        link = links.get(target.name, target.link)
        if link == "softmax" and len(part):
            part -= part.max(axis=1, keepdims=True)
            np.exp(part, out=part)
            part /= part.sum(axis=1, keepdims=True)
        elif link == "sigmoid":
            # exp of a negative number only, so that nothing overflows.
            small = np.exp(-np.abs(part))
            part = np.where(part >= 0, 1.0, small) / (1.0 + small)
            if target.link == "softmax":
                total = part.sum(axis=1, keepdims=True)
                part = np.divide(part, total, out=np.full_like(part, 1 / target.width), where=total > 0)
        linked[:, task.slices[target.name]] = part
    return linked


# ---- the files of a run --------------------------------------------------------------------------------------------------


def merge_oof(
    run_folder: Path,
    task: Task,
    folds: Sequence[str],
    views: Sequence[str] | None = None,
    aggregate: str = "mean",
    per_repeat: int | None = None,
    seed: int | None = None,
) -> Predictions:
    """The folds' held-out predictions as one table: averaged over views, rows of a unit, seeds, then repeats, as probabilities.

    Of several repeats a unit's `fold` is that of the first.

    Args:
        views: which views count; None: all that the files have.
        aggregate: how a unit's rows become one answer (comp.aggregate).
        per_repeat: how many folds a repeat has; None: there is one repeat.
        seed: the one of several that counts; None: all.

    Raises:
        PredictionsError: a file or a view is missing, holds another task, or two folds of a repeat hold out the same id.
    """
    numbers = sorted(map(int, folds))
    files = [fold_folder(run_folder, str(number)) / "oof.parquet" for number in numbers]
    parts = [_average_fold(file, task, views, aggregate, seed) for file in files]
    ids = np.concatenate([ids for ids, _ in parts])
    fold = np.concatenate([np.full(len(ids), number, dtype=np.int64) for number, (ids, _) in zip(numbers, parts, strict=True)])
    unit, repeat = pd.factorize(ids)[0].astype(np.int64), fold // (per_repeat or max(numbers) + 1)
    again = pd.Series(unit * (int(repeat.max(initial=0)) + 1) + repeat).duplicated().to_numpy()
    if again.any():
        raise PredictionsError(f"{run_folder}: {name_ids(ids[again])} are held out by more than one fold; the folds have changed")
    values, first = average_rows(np.concatenate([values for _, values in parts]), unit)
    return Predictions(task.scored, ids[first], values, fold[first])


def merge_test(
    run_folder: Path, task: Task, folds: Sequence[str], views: Sequence[str] | None = None, aggregate: str = "mean"
) -> Predictions:
    """The folds' test predictions averaged: over views, rows of a unit, seeds, then folds. `("full",)`: that model alone.

    Raises:
        PredictionsError: a file or a view is missing, holds another task, or the folds predicted different ids.
    """
    first, *others = sorted(folds, key=int) if len(folds) > 1 else folds
    ids, total = _average_fold(fold_folder(run_folder, first) / "test.parquet", task, views, aggregate)
    for fold in others:
        found, values = _average_fold(fold_folder(run_folder, fold) / "test.parquet", task, views, aggregate)
        demand_same_ids(ids, found, f"{run_folder.name}: fold {first}'s test predictions", f"fold {fold}'s")
        total = total + values[locate_ids(ids, found, f"fold {first}", f"fold {fold}")]
    return Predictions(task.scored, ids, total / len(folds))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """A run's oof.parquet (with `fold`) or test.parquet: `id`, then one float64 column per class, or per value."""
    keys = {"id": predictions.ids} if predictions.fold is None else {"id": predictions.ids, "fold": predictions.fold}
    kind = "test" if predictions.fold is None else "oof"
    write_table(path, make_table(Stored(kind, predictions.task, {}, keys, predictions.values)))


def read_predictions(path: Path) -> Predictions:
    """What write_predictions wrote.

    Raises:
        PredictionsError: the file is missing or not one of these.
        FormatError: a newer comp wrote it.
    """
    stored = take_apart(read_table(path, "oof", "test"), path)
    return Predictions(stored.task, stored.keys["id"], stored.values, stored.keys.get("fold"))


def demand_same_task(task: Task, other: Task, where: str) -> None:
    """Raises PredictionsError that shows how the two differ."""
    if task == other:
        return
    mine, yours = {target.name: target for target in task.targets}, {target.name: target for target in other.targets}
    if list(mine) != list(yours):
        raise PredictionsError(f"{where} predicts the targets {', '.join(mine)}; wanted {', '.join(yours)}")
    for name, target in mine.items():
        wanted = yours[name]
        if target.classes != wanted.classes:
            extra = [label for label in target.classes if label not in set(wanted.classes)]
            lacking = [label for label in wanted.classes if label not in set(target.classes)]
            raise PredictionsError(
                f"{where}: {name!r} has {len(target.classes)} classes; wanted {len(wanted.classes)}. "
                f"Too many: {', '.join(extra[:5]) or 'none'}; missing: {', '.join(lacking[:5]) or 'none'}. "
                "Was it made from other tables?"
            )
    raise PredictionsError(f"{where} holds {task}; wanted {other}")


def _demand_same(old: Stored, task: Task, links: Mapping[str, Link], path: Path) -> None:
    demand_same_task(old.task, task, str(path))
    if old.links != links:
        raise PredictionsError(
            f"{path} holds outputs for the links {old.links}, given are {links}; delete its folder to train anew"
        )


def average_raw(
    raw: Raw, aggregate: str, views: Sequence[str] | None = None, where: object = "the outputs"
) -> tuple[np.ndarray, np.ndarray]:
    """Ids in order of appearance, and their scored answers: the mean of views, of a seed's rows by the rule, then of seeds.

    Raises:
        PredictionsError: a view is not there for every row; the rule does not fit a target.
    """
    task = raw.task.scored
    wanted = sorted(set(raw.views) if views is None else set(views))
    seed_names, seed = np.unique(raw.seeds, return_inverse=True)
    row = pd.factorize(raw.row_ids)[0].astype(np.int64) * len(seed_names) + seed
    for view in wanted:
        have, all_rows = len(np.unique(row[raw.views == view])), len(np.unique(row))
        if have < all_rows:
            raise PredictionsError(f"{where}: view {view!r} is there for {have} of {all_rows} rows; predict that view again")
    # One order of adding up whatever order the views were written in, so that a resumed run gives the same bits.
    order = np.concatenate([np.flatnonzero(raw.views == view) for view in wanted]) if wanted else np.empty(0, dtype=np.int64)
    linked = link_outputs(raw.outputs[order], raw.task, raw.links)[:, : task.outputs]  # before the auxiliary targets
    values, first = average_rows(linked, row[order])
    unit, ids = pd.factorize(raw.ids)
    unit, seed = unit[order[first]].astype(np.int64), seed[order[first]]
    values, first = aggregate_rows(values, unit * len(seed_names) + seed, task, aggregate)
    values, place = average_rows(values, unit[first])
    return ids[unit[first][place]], values


def _average_fold(
    path: Path, task: Task, views: Sequence[str] | None, aggregate: str, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    raw = read_raw(path)
    demand_same_task(raw.task, task, str(path))
    return average_raw(raw if seed is None else raw.of_seed(seed), aggregate, views, path)
