"""Submissions: immutable, numbered files, checked against the sample submission and traceable to their run.

Which columns a prediction becomes is a plugin's business (kind `submission`); this module orders the rows as the sample has
them, checks the result, and writes vNNN.csv, vNNN.json and the ledger's row. Which run is submitted is the command's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp import __version__
from comp.api import Task
from comp.catalog import Catalog
from comp.errors import PluginError, SubmissionError
from comp.ids import SHOWN, name_ids
from comp.ledger import Entry, append_entry, read_ledger, write_now
from comp.predictions import Predictions
from comp.project import Project, atomic_write, hash_file, hash_json, hold_lock
from comp.sample import id_first, name_rows, numbers_rows

FORMAT = 1
SUM_TOLERANCE = 1e-6
WHOLE = re.compile(r"[+-]?\d+")
NOTHING = "nothing was written."


@dataclass(frozen=True)
class Submitted:
    """A submission's file. `new` is false where an earlier version has the same content; then nothing was written."""

    version: str
    path: Path
    sha256: str
    new: bool


def build_submission(
    catalog: Catalog,
    spec: Mapping[str, Any],
    task: Task,
    predictions: Predictions,
    sample: pd.DataFrame | None,
    id_column: str,
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The competition's table from predictions: the form's columns, the sample's order of rows and columns, checked.

    Args:
        order: the test set's ids in its order, for a sample that numbers its rows instead of naming them.

    Raises:
        SubmissionError: all that the sample's form refuses, at once.
    """
    given = sample
    broken = ~np.isfinite(predictions.values).all(axis=1)
    if broken.any():
        raise SubmissionError(f"no number (NaN or infinite) is predicted for {name_ids(predictions.ids[broken])}; {NOTHING}")
    if sample is not None and numbers_rows(sample, id_column, predictions.ids.tolist()):
        sample = name_rows(sample, id_column, order)
    form = catalog.build("submission", spec, task=task, sample=id_first(sample, id_column))
    frame = form(predictions.ids.tolist(), predictions.values)
    if not isinstance(frame, pd.DataFrame) or not isinstance(getattr(form, "rows_sum_to_one", None), bool):
        raise PluginError(
            f"submission {spec['use']!r} returned {type(frame).__name__}; wanted a table, and the attribute rows_sum_to_one"
        )
    shape = Shape(getattr(form, "keys", (id_column,)), getattr(form, "separator", None), form.rows_sum_to_one)
    if sample is None:
        frame = frame.rename(columns={frame.columns[0]: id_column})
        shape = replace(shape, keys=(id_column, *shape.keys[1:]))
    elif set(frame.columns) == set(sample.columns):
        frame = order_rows(frame[list(sample.columns)], sample, shape.keys)
    check_submission(frame, sample, task, shape)
    return frame if given is sample else frame.assign(**{id_column: given[id_column]})


@dataclass(frozen=True)
class Shape:
    """What a form says of its table.

    Attributes:
        keys: the columns that name a row together; the others hold answers.
        separator: what joins several answers in a cell; None: a cell is one answer.
    """

    keys: tuple[str, ...]
    separator: str | None = None
    rows_sum_to_one: bool = False


def join_keys(frame: pd.DataFrame, keys: Sequence[str]) -> pd.Index:
    """What each row is called."""
    if len(keys) == 1:
        return pd.Index(frame[keys[0]])
    return pd.Index([" / ".join(parts) for parts in zip(*(frame[key].astype(str) for key in keys), strict=True)], dtype=object)


def order_rows(frame: pd.DataFrame, sample: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows in the sample's order; as they were where the ids are not the same (check_submission then says which)."""
    ids = join_keys(frame, keys)
    if not ids.is_unique or len(ids) != len(sample):
        return frame
    place = ids.get_indexer(join_keys(sample, keys))
    return frame if (place < 0).any() else frame.iloc[place].reset_index(drop=True)


def check_submission(frame: pd.DataFrame, sample: pd.DataFrame | None, task: Task, shape: Shape) -> None:
    """Check columns, ids, order of rows, and every answer's form and range.

    Args:
        frame: ids as text; answers as text or whole numbers (labels), or as floats (probabilities, values).

    Raises:
        SubmissionError: with all faults.
    """
    faults = _check_columns(frame, sample, shape.keys[0])
    if not faults:
        ids = join_keys(frame, shape.keys)
        faults = [*_check_ids(ids, sample, shape.keys), *_check_answers(frame, ids, sample, task, shape)]
        faults += _check_sums(frame, ids, shape.keys) if shape.rows_sum_to_one else []
    if faults:
        raise SubmissionError(
            "\n".join(["the submission does not have the sample's form:", *(f"  {fault}" for fault in faults), NOTHING])
        )


def write_submission(project: Project, name: str, frame: pd.DataFrame, record: Mapping[str, Any]) -> Submitted:
    """Write submissions/NAME/vNNN.csv and .json, and the ledger's row; one version per content.

    Args:
        record: goes into the json as it is; the ledger takes `digest`, `cv`, `cv_std`, `metric` and `message` from it.
    """
    data = render_frame(frame)
    sha256 = hashlib.sha256(data).hexdigest()
    folder = project.submissions / name
    with hold_lock(folder / ".lock"):
        entries = {entry.version: entry for entry in read_ledger(project) if entry.experiment == name}
        stored = {path.stem: path for path in sorted(folder.glob("v*.csv")) if re.fullmatch(r"v\d+", path.stem)}
        equal = next((version for version, path in stored.items() if hash_file(path) == sha256), None)
        if equal in entries:
            return Submitted(equal, stored[equal], sha256, new=False)
        # A version that a killed process left without its row is finished, not doubled; a number is never used twice.
        numbers = [int(version[1:]) for version in {*stored, *entries}]
        version = equal or f"v{max(numbers, default=0) + 1:03d}"
        path, now = folder / f"{version}.csv", write_now()
        head = {"format": FORMAT, "comp": __version__, "experiment": name, "version": version, "time": now, "sha256": sha256}
        whole = {**record, **head, "rows": len(frame), "columns": list(frame.columns)}
        atomic_write(path, data)
        text = json.dumps({**whole, "seal": seal_record(whole)}, indent=2, ensure_ascii=False)
        atomic_write(path.with_suffix(".json"), text + "\n")
        known = {key: record[key] for key in ("digest", "cv", "cv_std", "metric", "message") if record.get(key) is not None}
        append_entry(project, Entry(now, name, version, sha256=sha256, **known))
    return Submitted(version, path, sha256, new=True)


def render_frame(frame: pd.DataFrame) -> bytes:
    """The file that a submission's table becomes."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def seal_record(record: Mapping[str, Any]) -> str:
    """SHA-256 of what vNNN.json holds, less the seal itself: whether somebody has edited it since."""
    return hash_json(json.loads(json.dumps({key: value for key, value in record.items() if key != "seal"})))


# ---- the checks ----------------------------------------------------------------------------------------------------------


def _check_columns(frame: pd.DataFrame, sample: pd.DataFrame | None, id_column: str) -> list[str]:
    have, wanted = list(frame.columns), list(frame.columns if sample is None else sample.columns)
    if have == wanted and id_column in have:
        return []
    missing, extra = [c for c in wanted if c not in have], [c for c in have if c not in wanted]
    said = [f"missing {', '.join(missing)}"] * bool(missing) + [f"not in the sample {', '.join(extra)}"] * bool(extra)
    return [f"columns {', '.join(have)}; the sample has {', '.join(wanted)}: {'; '.join(said) or 'another order'}"]


def _check_ids(ids: pd.Index, sample: pd.DataFrame | None, keys: Sequence[str]) -> list[str]:
    faults = []
    torn = [repr(text) for text in (*ids.astype(str), *keys) if "\r" in text]
    faults += [f"a carriage return, which CSV cannot carry, in {name_ids(torn)}"] if torn else []
    if len(ids) == 0:
        faults.append("no rows: the run had no test images. `comp predict` makes predictions for a test set that came later")
    again = ids[ids.duplicated()].unique()
    if len(again):
        faults.append(f"{name_ids(again)} more than once")
    if sample is None:
        return faults
    wanted = join_keys(sample, keys)
    missing, extra = wanted[~wanted.isin(ids)].unique(), ids[~ids.isin(wanted)].unique()
    if len(missing):
        faults.append(f"{name_ids(missing)} of the sample's {len(wanted)} have no prediction")
    if len(extra):
        faults.append(f"{name_ids(extra)} not in the sample")
    if len(missing) and len(extra):
        faults.append(f"ids are compared as text: the sample writes {missing[0]!r}, the predictions {extra[0]!r}")
    if faults:
        return faults
    if len(ids) != len(wanted):
        return [f"{len(ids)} rows; the sample has {len(wanted)}, with {name_ids(wanted[wanted.duplicated()])} more than once"]
    moved = np.flatnonzero(ids != wanted)
    if len(moved) == 0:
        return []
    first = moved[0]
    return [f"rows in another order than the sample's, from row {first + 1} on ({ids[first]!r}, wanted {wanted[first]!r})"]


def _check_answers(frame: pd.DataFrame, ids: pd.Index, sample: pd.DataFrame | None, task: Task, shape: Shape) -> list[str]:
    faults = []
    numbers = [target.name for target in task.targets if target.kind == "regression"]
    columns = frame.columns.drop(list(shape.keys))
    for column in columns:
        answers = frame[column]
        example = pd.Series([], dtype=str) if sample is None else sample[column][sample[column] != ""]
        if pd.api.types.is_float_dtype(answers):
            bad = ~np.isfinite(answers.to_numpy())
            faults += [f"{column}: no number (NaN or infinite) for {name_ids(ids[bad])}"] if bad.any() else []
            # One column may hold the answers of all targets, a row each.
            is_value = column in numbers or len(numbers) == len(task.targets) or (numbers and len(columns) == 1)
            wild = (answers < 0) | (answers > 1)
            if wild.any() and not is_value:
                faults.append(f"{column}: {answers[wild].iloc[0]:g} is no probability (0 to 1), for {name_ids(ids[wild])}")
            text = [value for value in example.unique() if not _is_number(value)]
            faults += [f"{column}: numbers, where the sample has text ({text[0]!r})"] if len(text) else []
            continue
        torn = np.array(["\r" in f"{text}{column}" for text in answers], dtype=bool)
        faults += [f"{column!r}: a carriage return, which CSV cannot carry, for {name_ids(ids[torn])}"] if torn.any() else []
        empty = answers.isna() | (answers.astype(str) == "")
        if empty.any() and (sample is None or not (sample[column] == "").any()):
            faults.append(f"{column}: no answer for {name_ids(ids[empty])}")
        faults += _check_text(column, *(_split(cells, shape.separator) for cells in (answers[~empty].astype(str), example)), task)
    return faults


def _check_text(column: str, answers: pd.Series, example: pd.Series, task: Task) -> list[str]:
    """Where the sample has whole numbers, or numbers, so must the answers; unless these are classes, of which others are none."""
    known, examples = answers.unique(), example.unique()
    classes = {name for target in task.targets for name in target.classes}
    if classes.issuperset(examples):
        known = [text for text in known if text not in classes]
    if len(examples) == 0:
        return []
    for what, fits in (("whole numbers", lambda text: bool(WHOLE.fullmatch(text))), ("numbers", _is_number)):
        if all(map(fits, examples)):
            odd = [text for text in known if not fits(text)]
            shown = ", ".join(map(repr, odd[:SHOWN]))
            return [f"{column}: {shown}, where the sample has {what} ({examples[0]!r})"] if odd else []
    return []


def _split(cells: pd.Series, separator: str | None) -> pd.Series:
    return cells if separator is None else cells.str.split(separator).explode()


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _check_sums(frame: pd.DataFrame, ids: pd.Index, keys: Sequence[str]) -> list[str]:
    answers = frame.drop(columns=list(keys)).select_dtypes("float")
    off = (answers.sum(axis=1) - 1).abs() > SUM_TOLERANCE
    if not off.any():
        return []
    return [f"rows must sum to 1 (within {SUM_TOLERANCE:g}): {answers[off].iloc[0].sum():.6g} for {name_ids(ids[off])}"]
