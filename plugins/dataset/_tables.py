"""Tables as competitions hand them out, every cell as text as it is written: CSV, TSV, Parquet, JSON records, COCO-style JSON.

Any of them may be packed (train.json.7z, train.csv.zip, train.csv.gz).
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from comp.api import DataError, is_packed, unpack_table

TAB_SUFFIXES = (".tsv", ".tab", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
JSON_SUFFIXES = (".json", ".jsonl")
DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=lambda name: "")
BETWEEN = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Sheet:
    """A table, and the pictures that stand in it.

    Attributes:
        rows: every cell text, empty ones "".
        bands: (C, H, W) float32 of each row; None where the table holds no pictures.
    """

    rows: pd.DataFrame
    bands: list[np.ndarray] | None = None


@dataclass(frozen=True)
class TableFile:
    """A table's file, or the content of a packed one.

    Attributes:
        name: of the file, for messages.
        suffix: says the form; of a packed table its own, not the archive's.
    """

    name: str
    suffix: str
    source: Path | bytes

    def open(self) -> Path | io.BytesIO:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def read_text(self) -> str:
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return content.decode("utf-8-sig")


def open_table(path: Path) -> TableFile:
    """Raises: DataError: it is packed, and cannot be unpacked."""
    if not is_packed(path.name):
        return TableFile(path.name, path.suffix.lower(), path)
    inner, content = unpack_table(path)
    return TableFile(path.name, PurePosixPath(inner).suffix.lower(), content)


def names_table(name: str) -> bool:
    """Whether a file's name says that it is a table, packed or not (and no image, nor an archive of images)."""
    inner = PurePosixPath(name).stem if is_packed(name) else name
    return PurePosixPath(inner).suffix.lower() in (".csv", *TAB_SUFFIXES, *PARQUET_SUFFIXES, *JSON_SUFFIXES)


def read_sheet(path: Path, separator: str | None = None, bands: Sequence[str] = (), targets: Sequence[str] = ()) -> Sheet:
    """A table, by its ending: .tsv, .tab, .txt (tabs), .parquet, .pq, .json, .jsonl; anything else is CSV.

    A CSV whose first line has no comma may have semicolons or tabs between its cells. After that ending, .7z, .zip or .gz:
    then it is the one table in there.

    Args:
        separator: what joins the items of a cell that holds a list; None: such cells stay JSON.
        bands: keys of a JSON record that hold pixels; all of them make one picture.
        targets: columns that must have one value an image where COCO has several annotations for it.

    Raises:
        DataError: not there, not UTF-8, or not of that form.
    """
    if not path.is_file():
        raise DataError(f"there is no table {path}")
    file = open_table(path)
    try:
        if file.suffix in JSON_SUFFIXES:
            return _read_json(file, separator, bands, targets)
        if bands:
            raise DataError(f"dataset.bands: {file.name} is no JSON; only a table in JSON holds pictures")
        if file.suffix in PARQUET_SUFFIXES:
            return Sheet(_read_parquet(file, separator))
        return Sheet(_read_text(file, "\t" if file.suffix in TAB_SUFFIXES else find_delimiter(file)))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 ({error.reason} at byte {error.start}); convert it first, as in "
            f"iconv -f CP949 -t UTF-8 {path.name} > utf8.csv, where it is a Korean one"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def find_delimiter(file: TableFile) -> str:
    """What is between the cells of a CSV: commas, unless its first line has none but semicolons or tabs."""
    with io.BytesIO(file.source) if isinstance(file.source, bytes) else open(file.source, "rb") as opened:
        header = opened.readline()
    return "," if b"," in header else next((mark for mark in ";\t" if mark.encode() in header), ",")


def _read_text(file: TableFile, delimiter: str) -> pd.DataFrame:
    try:
        # Without a header of its own, pandas refuses rows that are longer than the first instead of shifting columns.
        table = pd.read_csv(
            file.open(), sep=delimiter, header=None, dtype=str, na_filter=False, encoding="utf-8-sig", low_memory=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{file.name} cannot be read as CSV: {error}") from error
    header = [str(cell) for cell in table.iloc[0]]
    twice = sorted(cell for cell, times in Counter(header).items() if times > 1)
    if twice:
        raise DataError(f"{file.name} has two columns called {twice[0]!r}")
    table = table.iloc[1:].reset_index(drop=True)
    table.columns = header
    return table


def _read_parquet(file: TableFile, separator: str | None) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file.open())
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {error}") from error
    kept = [field.name for field in table.schema if not (pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))]
    columns = {name: [as_text(value, separator) for value in table.column(name).to_pylist()] for name in kept}
    return pd.DataFrame(columns, dtype=object)


def as_text(value: Any, separator: str | None = None) -> str:
    """A cell: nothing is "", true and false are 1 and 0, a list is joined by the separator (without one: JSON)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list) and separator is not None:
        return separator.join(as_text(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


# ---- JSON ----------------------------------------------------------------------------------------------------------------


def _read_json(file: TableFile, separator: str | None, bands: Sequence[str], targets: Sequence[str]) -> Sheet:
    text = file.read_text().lstrip()
    try:
        if text.startswith("[") or file.suffix == ".jsonl":
            return _gather_records(_iterate_records(text, 1 if text.startswith("[") else 0), file, separator, bands)
        whole, _ = DECODER.raw_decode(text)
        if not isinstance(whole.get("images"), list):
            raise DataError(f"{file.name} is neither a list of records nor COCO: it has the keys {', '.join(map(repr, whole))}")
        return Sheet(_join_annotations(whole, file, separator, targets))
    except (ValueError, AttributeError) as error:
        raise DataError(f"{file.name} cannot be read as JSON: {error}") from error


def _iterate_records(text: str, at: int) -> Iterator[Any]:
    """One by one: pixels as Python's own numbers, all at once, would take twenty times their size."""
    while (at := BETWEEN.match(text, at).end()) < len(text) and text[at] != "]":  # type: ignore[union-attr]
        record, at = DECODER.raw_decode(text, at)
        yield record


def _gather_records(records: Iterator[Any], file: TableFile, separator: str | None, bands: Sequence[str]) -> Sheet:
    rows, pictures = [], []
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"{file.name}: record {number} is {type(record).__name__}; wanted a list of mappings")
        if bands:
            pictures.append(_take_bands(record, file, number, bands))
        rows.append({key: as_text(value, separator) for key, value in record.items()})
    return Sheet(pd.DataFrame(rows, dtype=object).fillna(""), pictures if bands else None)


def _take_bands(record: dict[str, Any], file: TableFile, number: int, bands: Sequence[str]) -> np.ndarray:
    """Removes the pixels from the record: (C, H, W) float32. A flat list is a square."""
    absent = [band for band in bands if band not in record]
    if absent:
        raise DataError(f"{file.name}: record {number} has no {absent[0]!r}, which dataset.bands names")
    try:
        values = np.array([record.pop(band) for band in bands], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{file.name}: the bands of record {number} are no numbers, or of different lengths: {error}") from error
    if values.ndim == 2 and math.isqrt(values.shape[1]) ** 2 == values.shape[1]:
        return values.reshape(len(bands), math.isqrt(values.shape[1]), -1)
    if values.ndim == 3:
        return values
    raise DataError(f"{file.name}: record {number} has {values.shape[1:]} pixels a band; wanted a square number, or rows of them")


def _join_annotations(whole: Mapping[str, Any], file: TableFile, separator: str | None, targets: Sequence[str]) -> pd.DataFrame:
    """COCO: a row per image, its annotations' values beside it.

    A target of which an image has several values is a set, joined by the separator; of any other column the first counts.
    """
    images = pd.DataFrame([{key: as_text(value) for key, value in image.items()} for image in whole["images"]], dtype=object)
    notes = pd.DataFrame([{k: as_text(v) for k, v in note.items()} for note in whole.get("annotations") or ()], dtype=object)
    key = "id" if "id" in images else "image_id"
    if key not in images:
        raise DataError(f"{file.name}: its images have neither `id` nor `image_id`, but {', '.join(map(repr, images.columns))}")
    if notes.empty:
        return images.fillna("")
    if "image_id" not in notes:
        raise DataError(f"{file.name}: its annotations have no `image_id`, but {', '.join(map(repr, notes.columns))}")
    notes = notes.drop(columns=[column for column in notes if column in images and column != "image_id"])
    first = notes.drop_duplicates("image_id").set_index("image_id")
    for column in [column for column in targets if column in first]:
        each = notes.drop_duplicates(["image_id", column]).groupby("image_id", sort=False)[column]
        several = each.count().loc[lambda counts: counts > 1]
        if len(several) and separator is None:
            raise DataError(
                f"{file.name}: {len(several)} images have several {column!r}, such as {several.index[0]!r}; "
                "what joins them as a set is dataset.separator"
            )
        if len(several):
            first[column] = each.agg(separator.join)  # type: ignore[union-attr]
    return images.merge(first, how="left", left_on=key, right_index=True).fillna("").reset_index(drop=True)
