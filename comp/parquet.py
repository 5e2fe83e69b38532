"""Parquet files of predictions: their columns, their metadata and how a target of very many classes is stored.

What the rows mean is comp.predictions' business. Columns are named for people and read by place, because a class may bear
any name. Every file names its format, the comp that wrote it, the task and the links.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from comp import __version__
from comp.api import Link, Target, Task
from comp.errors import FormatError, PredictionsError
from comp.project import atomic_write

FORMAT = 1
WIDE_CLASSES = 1000
"""A target of more classes than this is stored as its top classes and the log-sum-exp of all."""
TOP_CLASSES = 100
BLOCK_CELLS = 2**16
KEYS = {"raw": {"id", "row_id", "view", "seed"}, "oof": {"id"}, "test": {"id"}}
"""Kind -> the keys that it must have."""


@dataclass(frozen=True)
class Stored:
    """A table of predictions, taken apart.

    Attributes:
        kind: raw | oof | test.
        links: target name -> how outputs become probabilities.
        keys: the columns before the outputs, each (N,) text or int64.
        values: (N, task.outputs) float32 outputs (raw) or float64 probabilities or values.
    """

    kind: str
    task: Task
    links: dict[str, Link]
    keys: dict[str, np.ndarray]
    values: np.ndarray


def make_table(stored: Stored) -> pa.Table:
    """Columns for the keys, then one per output; of a wide target the top classes and the log-sum-exp of all."""
    raw = stored.kind == "raw"
    names = list(stored.keys)
    columns = [_make_column(values) for values in stored.keys.values()]
    number = pa.float32() if raw else pa.float64()
    # A class may bear the name of a key (`view`): then every column says whose it is.
    clash = not set(stored.task.columns).isdisjoint(names)
    for target in stored.task.targets:
        part = stored.values[:, stored.task.slices[target.name]]
        if len(target.classes) > WIDE_CLASSES:
            names += [f"{target.name}#{what}" for what in ("index", "value", "logsumexp")]
            columns += _pack_wide(part, number, log=raw)
        else:
            own = [f"{target.name}={name}" for name in target.classes or ("value",)]
            names += own if clash else stored.task.columns[stored.task.slices[target.name]]
            columns += [pa.array(column, type=number) for column in turn_columns(part)]
    facts = {
        "format": FORMAT,
        "comp": __version__,
        "kind": stored.kind,
        "keys": list(stored.keys),
        "targets": [asdict(target) for target in stored.task.targets],
        "links": stored.links,
    }
    return pa.table(columns, names=names, metadata={"comp": json.dumps(facts, ensure_ascii=False)})


def take_apart(table: pa.Table, origin: Path | str = "the table") -> Stored:
    """The inverse of make_table; classes beyond the top of a wide target share equally what the top leaves.

    Args:
        origin: whence it is, for the error.

    Raises:
        PredictionsError: its columns are not those that it says it has.
    """
    try:
        return _take_apart(table)
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, pa.ArrowException) as error:
        why = f"its columns are not those that it says it has ({error!r})"
        raise PredictionsError(f"{origin} is damaged: {why}; train its fold anew") from error


def _take_apart(table: pa.Table) -> Stored:
    facts = _read_facts(table.schema)
    task = Task(tuple(_make_target(fact) for fact in facts["targets"]))
    raw = facts["kind"] == "raw"
    keys = {key: table.column(place).to_numpy() for place, key in enumerate(facts["keys"])}
    if not KEYS[facts["kind"]] <= keys.keys():
        raise KeyError(*KEYS[facts["kind"]] - keys.keys())
    values = np.empty((len(table), task.outputs), dtype=np.float32 if raw else np.float64)
    left = iter(table.columns[len(keys) :])
    for target in task.targets:
        part = values[:, task.slices[target.name]]
        if len(target.classes) > WIDE_CLASSES:
            _unpack_wide(part, next(left), next(left), next(left), log=raw)
        else:
            fill_columns(part, [next(left).to_numpy() for _ in range(target.width)])
    return Stored(facts["kind"], task, facts["links"], keys, values)


def write_table(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    form = {"compression": "zstd", "compression_level": 1, "use_dictionary": ["view", "seed"], "write_page_checksum": True}
    pq.write_table(table, sink, **form)
    atomic_write(path, sink.getvalue().to_pybytes())


def read_table(path: Path, *kinds: str) -> pa.Table:
    """The table in a file of one of these kinds.

    Raises:
        PredictionsError: it is missing, damaged or of another kind.
        FormatError: a newer comp wrote it.
    """
    with _open(path) as file:
        table = file.read()
    _check_facts(path, table.schema, kinds)
    return table


def measure_table(path: Path, *kinds: str) -> tuple[Task, int]:
    """What a file of one of these kinds predicts, and how many rows it has. Only its end is read.

    Raises:
        PredictionsError, FormatError: as read_table.
    """
    with _open(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    facts = _check_facts(path, schema, kinds)
    return Task(tuple(_make_target(fact) for fact in facts["targets"])), rows


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise PredictionsError(f"{path} is not there; `comp run` makes it") from None
    except (pa.ArrowException, OSError) as error:  # a damaged file's end is an OSError to pyarrow
        raise PredictionsError(f"{path} cannot be read ({error}); delete its folder, and `comp run` makes it anew") from None


def _check_facts(path: Path, schema: pa.Schema, kinds: Sequence[str]) -> dict[str, Any]:
    """What the file says of itself.

    Raises:
        PredictionsError: it is damaged, or of another kind.
        FormatError: a newer comp wrote it.
    """
    try:
        facts = _read_facts(schema)
        if facts.get("format", 0) > FORMAT:
            raise FormatError(
                f"{path} has format {facts['format']}; this is comp {__version__}, which reads up to format {FORMAT}. "
                f"comp {facts.get('comp', 'newer')} wrote it: install that version or a later one"
            )
        if facts.get("kind") not in kinds:
            raise PredictionsError(f"{path} holds {facts.get('kind', 'no')} predictions of comp; wanted {' or '.join(kinds)}")
        task = Task(tuple(_make_target(fact) for fact in facts["targets"]))
        if not {*facts["links"]} <= {target.name for target in task.targets} or len(facts["keys"]) > len(schema.names):
            raise KeyError("links")
        return facts
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionsError(f"{path} is damaged: it does not say what it holds ({error!r}); train its fold anew") from error


def _read_facts(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(b"comp", b"{}"))


def turn_columns(values: np.ndarray) -> np.ndarray:
    """(K, N) of (N, K), a block of rows at a time: what lies in the processor's cache is turned ten times as fast."""
    turned = np.empty(values.shape[::-1], dtype=values.dtype)
    step = max(1, BLOCK_CELLS // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        turned[:, start : start + step] = values[start : start + step].T
    return turned


def fill_columns(values: np.ndarray, columns: Sequence[np.ndarray]) -> None:
    """The inverse, into `values` (N, K)."""
    step = max(1, BLOCK_CELLS // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        for place, column in enumerate(columns):
            values[start : start + step, place] = column[start : start + step]


def _make_target(fact: dict[str, Any]) -> Target:
    return Target(**{**fact, "classes": tuple(fact["classes"]), "columns": tuple(fact["columns"])})


def _make_column(values: np.ndarray) -> pa.Array:
    if values.dtype.kind in "iu":
        return pa.array(values.astype(np.int64))
    return pa.array(values, type=pa.string())


def _pack_wide(part: np.ndarray, number: pa.DataType, *, log: bool) -> list[pa.Array]:
    """Index and value of the top classes, greatest first; log-sum-exp of all. `log`: of the values, else of their logs."""
    top = np.argpartition(-part, TOP_CLASSES - 1, axis=1)[:, :TOP_CLASSES].astype(np.int32)
    best = np.take_along_axis(part, top, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    top, best = np.take_along_axis(top, order, axis=1), np.take_along_axis(best, order, axis=1)
    if log:
        peak = best[:, :1].astype(np.float64)
        logsumexp = np.log(np.exp(part - peak).sum(axis=1)) + peak[:, 0]
    else:
        mass = part.sum(axis=1)
        logsumexp = np.log(mass, out=np.full(len(part), -np.inf), where=mass > 0)
    lists = [pa.FixedSizeListArray.from_arrays(pa.array(flat), TOP_CLASSES) for flat in (top.ravel(), best.ravel())]
    return [lists[0], lists[1].cast(pa.list_(number, TOP_CLASSES)), pa.array(logsumexp)]


def _unpack_wide(part: np.ndarray, index: pa.ChunkedArray, value: pa.ChunkedArray, total: pa.ChunkedArray, *, log: bool) -> None:
    """Fill `part` (N, classes) in place."""
    top, best = (column.combine_chunks().flatten().to_numpy().reshape(-1, TOP_CLASSES) for column in (index, value))
    logsumexp = total.to_numpy()
    weight = np.exp(best - logsumexp[:, None]) if log else best
    mass = 1.0 if log else np.exp(logsumexp)
    rest = np.maximum(mass - weight.sum(axis=1), 0.0) / (part.shape[1] - TOP_CLASSES)
    if log:
        rest = np.log(rest, out=np.full(len(rest), -np.inf), where=rest > 0) + logsumexp
    part[:] = np.minimum(rest, best[:, -1])[:, None]
    np.put_along_axis(part, top.astype(np.int64), best, axis=1)
