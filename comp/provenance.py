"""Provenance: hashes of what a submission was made from, taken when it is written and compared when it is verified."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from comp.api import Tables
from comp.lineage import WEIGHTS
from comp.project import hash_file, hash_json
from comp.runs import Run, fold_folder, hash_files, read_fold
from comp.submission import render_frame

STATED = ("manifest.resolved.yaml", "folds.csv")
GIVEN = ("oof.parquet", "test.parquet")


def list_test_ids(tables: Tables) -> list[str] | None:
    """The test set's units in its order; None without a test table."""
    return None if tables.test is None else tables.test["id"].drop_duplicates().tolist()


def hash_inputs(tables: Tables) -> dict[str, str | None]:
    """SHA-256 of what a form reads besides predictions: the sample, and the order of the test set's ids. None: there is none."""
    sample = None if tables.sample is None else hashlib.sha256(render_frame(tables.sample)).hexdigest()
    ids = list_test_ids(tables)
    return {"sample": sample, "test": None if ids is None else hash_json(ids)}


def hash_sources(run: Run, folds: Sequence[str]) -> dict[str, str]:
    """File in the run's folder -> SHA-256: what it resolved to, its folds, and the weights that predict, as they were written.

    Raw predictions may gain views later: what they are by now stands in each fold's own record. Of a blend, or imported ones,
    the predictions themselves.
    """
    names = [*STATED, *(name for name in GIVEN if run.is_given and (run.folder / name).exists())]
    found = {name: hash_file(run.folder / name) for name in names}
    for fold in () if run.is_given else folds:
        folder = fold_folder(run.folder, fold)
        written = (read_fold(folder) or {}).get("files") or hash_files(folder)
        found |= {f"{folder.name}/{name}": sha256 for name, sha256 in written.items() if name.endswith(WEIGHTS)}
    return found


def find_changed(run: Run, folds: Sequence[str], written: dict[str, str]) -> dict[str, str]:
    """File in the run's folder -> what happened to it, of those that are not as they were written.

    Args:
        written: what hash_sources said when the submission was made.
    """
    wanted = dict(written)
    for fold in () if run.is_given else folds:
        folder = fold_folder(run.folder, fold)
        files = (read_fold(folder) or {}).get("files", {})
        wanted |= {f"{folder.name}/{name}": sha256 for name, sha256 in files.items() if name.endswith(".parquet")}
    found = {}
    for name, sha256 in wanted.items():
        path = run.folder / name
        if not path.is_file():
            found[name] = "is gone"
        elif hash_file(path) != sha256:
            found[name] = "is not what was written"
    return found
