"""Seeds: a fold trained several times over, each time from other random choices, whose mean predicts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from comp.engine.fold import train_fold
from comp.engine.job import FoldJob
from comp.engine.ranks import Ranks
from comp.events import Emit, Event, FoldFinished, Notice
from comp.predictions import read_raw, write_raw
from comp.project import atomic_write
from comp.runs import hash_files, read_fold, seed_folder


def train_seeds(job: FoldJob, fabric: Fabric, emit: Emit) -> dict[str, Any]:
    """Train a fold with every seed of the manifest (one, or `seeds`). Returns what fold.json holds ({} on ranks without a say).

    With several, each leaves a folder of its own within the fold's (seed0, ...); those that are complete are kept.

    Raises:
        RunInterrupted, RunError: as train_fold.
    """
    seeds = job.manifest.values["seeds"]
    if not seeds:
        return train_fold(job, fabric, emit)
    records, ranks = [], Ranks(fabric)
    for seed in seeds:
        manifest = job.manifest.with_values({"seed": seed, "seeds": None})
        folder = seed_folder(job.folder, seed)
        part = replace(job, manifest=manifest, folder=folder, init=job.init)
        folder.mkdir(parents=True, exist_ok=True)
        record = ranks.agree(partial(read_fold, folder))
        if record is None:
            emit(Notice(f"fold {job.fold}: seed {seed}"))
            record = train_fold(part, fabric, withhold_end(emit))
        records.append(record)
    if not ranks.leads:
        return {}
    gather_predictions(job, seeds)
    record = {**records[0], **join_records(seeds, records), "files": hash_files(job.folder)}
    atomic_write(job.folder / "fold.json", json.dumps(record, indent=2))
    emit(FoldFinished(job.fold, record["scores"], record["best_epoch"], record["elapsed_s"]))
    return record


def withhold_end(emit: Emit) -> Emit:
    """A seed's end is not the fold's."""

    def tell(event: Event) -> None:
        if not isinstance(event, FoldFinished):
            emit(event)

    return tell


def gather_predictions(job: FoldJob, seeds: Sequence[int]) -> None:
    """The seeds' raw predictions in the fold's own files, where `seed` tells them apart."""
    for name in ("oof.parquet", "test.parquet"):
        first = seed_folder(job.folder, seeds[0]) / name
        if not first.exists():
            continue
        # Under another name first: a fold whose file is there is not yet a fold that is complete.
        path = job.folder / f".{name}"
        shutil.copyfile(first, path)
        for seed in seeds[1:]:
            append_raw(path, seed_folder(job.folder, seed) / name, seed)
        path.replace(job.folder / name)


def append_raw(path: Path, other: Path, seed: int) -> None:
    raw = read_raw(other)
    for view in np.unique(raw.views):
        of_view = raw.views == view
        write_raw(path, raw.task, raw.ids[of_view], raw.row_ids[of_view], {str(view): raw.outputs[of_view]}, seed, raw.links)


def join_records(seeds: Sequence[int], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What differs between the seeds: the mean of their scores, the sum of their times, and each one's own."""

    def mean(key: str) -> dict[str, float]:
        # Seeds from before and after a change of the metric share no name; the run is scored from their outputs.
        names = [name for name in records[0][key] if all(name in record[key] for record in records)]
        return {name: float(np.mean([record[key][name] for record in records])) for name in names}

    return {
        "scores": mean("scores"),
        "scores_best": mean("scores_best"),
        "scores_last": mean("scores_last"),
        "elapsed_s": round(sum(record["elapsed_s"] for record in records), 3),
        "epochs": round(float(np.mean([record["epochs"] for record in records]))),
        "best_epoch": round(float(np.mean([record["best_epoch"] for record in records]))),
        "weights": None,
        "seeds": {str(seed): record["scores"] for seed, record in zip(seeds, records, strict=True)},
    }
