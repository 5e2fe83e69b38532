"""Whether the competition would take a submission: an independent reading of what each of the 23 competitions states.

Nothing of `comp` or of a plugin is imported here and no form file is read: facts.py says what each competition publishes. The ids
come from the sample in the competition's data, known labels from its training source. No competition states that rows may stand
in another order than the sample's, so none may.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
from collections import Counter
from pathlib import Path

import py7zr

from tests.competitions.facts import FORMS, Form, Known, show

SUM_TOLERANCE = 1e-3


def find_faults(slug: str, submission: Path, data: Path) -> list[str]:
    """Every reason to refuse the file, each naming a row (1 = the first below the header) or a column; [] = it is taken.

    Raises:
        KeyError: `slug` is none of the 23.
        ValueError: the sample in `data` is itself not as the competition's facts say.
    """
    form = FORMS[slug]
    header, sample_ids = read_sample(form, data)
    text, faults = decode(submission.read_bytes())
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        return [*faults, f"row {reader.line_num - 1}: {error}"]
    if not rows or rows[0] != header:
        return [*faults, compare_headers(rows[0] if rows else [], header)]
    ragged = [
        f"row {number}: {len(row)} cells instead of {len(header)}"
        for number, row in enumerate(rows[1:], 1)
        if len(row) != len(header)
    ]
    if ragged:
        return faults + ragged
    faults += compare_ids([row[0] for row in rows[1:]], sample_ids)
    return faults + judge_values(form, header, rows[1:], form.known(data))


def decode(raw: bytes) -> tuple[str, list[str]]:
    """The file's text and what is wrong with its bytes: UTF-8 without a byte order mark, lines ended by LF or by CRLF."""
    faults = []
    if raw.startswith(b"\xef\xbb\xbf"):
        faults.append("header: a byte order mark stands before the first column's name")
        raw = raw[3:]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n")
        faults.append(f"row {row}: byte {raw[error.start]:#04x} is not UTF-8")
        text = raw.decode("utf-8", errors="replace")
    ends = Counter(re.findall("\r\n|\r|\n", text))
    if "\r" in ends or len(ends) > 1:
        faults.append(f"row {first_odd_line(text, ends)}: ends unlike the others; lines end by LF or by CRLF, all alike")
    return text, faults


def first_odd_line(text: str, ends: Counter[str]) -> int:
    """The row (0 = the header) that ends by a lone CR, or else by the rarer of LF and CRLF."""
    odd = "\r" if "\r" in ends else ends.most_common()[-1][0]
    return re.findall("\r\n|\r|\n", text).index(odd)


def compare_headers(given: list[str], wanted: list[str]) -> str:
    """One line on how the header differs: columns too few, too many, or in another order."""
    if not given:
        return f"header: the file is empty; wanted columns {show(wanted)}"
    missing = [name for name in wanted if name not in given]
    strange = [name for name in given if name not in wanted]
    twice = [name for name, count in Counter(given).items() if count > 1]
    parts = [
        f"column {show(names)} {what}"
        for names, what in ((missing, "missing"), (strange, "not asked for"), (twice, "twice"))
        if names
    ]
    if not parts:
        place = next(place for place, name in enumerate(wanted) if given[place] != name)
        parts = [f"column {given[place]!r} stands where {wanted[place]!r} belongs"]
    return "header: " + "; ".join(parts)


def compare_ids(given: list[str], wanted: list[str]) -> list[str]:
    """Faults of the ids: the sample's, spelt as there, each once and in its order."""
    faults = [] if len(given) == len(wanted) else [f"row {len(given)} is the last; the sample has {len(wanted)} rows"]
    known, first = set(wanted), {}
    for number, name in enumerate(given, 1):
        if name not in known:
            faults.append(f"row {number}: id {name!r} is not in the sample, whose ids look like {wanted[0]!r}")
        elif name in first:
            faults.append(f"row {number}: id {name!r} stands in row {first[name]} already")
        first.setdefault(name, number)
    faults += [
        f"row {number} of the sample: id {name!r} is missing" for number, name in enumerate(wanted, 1) if name not in first
    ]
    if not faults and given != wanted:
        place = next(place for place, name in enumerate(wanted) if given[place] != name)
        faults.append(f"row {place + 1}: id {given[place]!r} stands where the sample has {wanted[place]!r}")
    return faults


def judge_values(form: Form, header: list[str], rows: list[list[str]], known: Known) -> list[str]:
    """Faults of the cells beside the id, and of their sum where a row is a distribution."""
    faults = []
    for number, (name, *cells) in enumerate(rows, 1):
        said = [
            f"row {number} ({name}), column {column!r}: {fault}"
            for column, cell in zip(header[1:], cells, strict=True)
            if (fault := form.judge(cell, known)) is not None
        ]
        if form.sums_to_one and not said and abs(math.fsum(map(float, cells)) - 1) > SUM_TOLERANCE:
            said = [f"row {number} ({name}): the probabilities sum to {math.fsum(map(float, cells)):.4f} instead of 1"]
        faults += said
    return faults


def read_sample(form: Form, data: Path) -> tuple[list[str], list[str]]:
    """The sample's header and ids.

    Raises:
        ValueError: they are not as the facts say, so that `data` is no data of this competition.
    """
    header, *rows = csv.reader(io.StringIO(read_text(data / form.sample), newline=""))
    fixed = isinstance(form.columns, tuple)
    wanted = [form.id, *(form.columns if fixed else sorted(form.columns(data)))]
    if header[:1] != [form.id] or (header if fixed else [form.id, *sorted(header[1:])]) != wanted:
        raise ValueError(f"{form.sample}: {compare_headers(header, wanted)}")
    odd = [row[0] for row in rows if not re.fullmatch(form.id_spelling, row[0])]
    if odd or not rows or len({row[0] for row in rows}) < len(rows):
        raise ValueError(f"{form.sample}: ids {show(odd) or 'missing or twice'}; the facts spell them {form.id_spelling}")
    return header, [row[0] for row in rows]


def read_text(path: Path) -> str:
    """A text file, or the file of the same name without .7z inside that archive, in whatever folder there."""
    if path.suffix != ".7z":
        return path.read_bytes().decode("utf-8")
    with tempfile.TemporaryDirectory() as folder, py7zr.SevenZipFile(path) as archive:
        archive.extractall(folder)
        return next(Path(folder).rglob(path.stem)).read_bytes().decode("utf-8")
