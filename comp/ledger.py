"""Ledger: the append-only list of submissions with their CV, public and private scores (submissions/ledger.csv).

A submission is a row; a score that comes later is a new row naming the version. Reading merges them. Nothing is ever
rewritten. What a submission file must look like is comp.submission's business.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from comp import __version__
from comp.errors import FormatError, SubmissionError
from comp.project import Project, append_line, hold_lock, suggest

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A submission and its scores, in the order of the file's columns (before them stands `format`).

    Attributes:
        time: when it was written, UTC, ISO 8601.
        version: `v001`, ...
        digest: the run it was made from.
        cv, cv_std: of `metric`; None where it has none.
        public, private: the scores recorded last.
        sha256: of the CSV.
    """

    time: str
    experiment: str
    version: str
    digest: str = ""
    cv: float | None = None
    cv_std: float | None = None
    metric: str = ""
    public: float | None = None
    private: float | None = None
    sha256: str = ""
    message: str = ""


COLUMNS = ("format", *Entry.__dataclass_fields__)
NUMBERS = ("cv", "cv_std", "public", "private")
LONGEST = 1000
"""Characters of a cell."""


def ledger_path(project: Project) -> Path:
    return project.submissions / "ledger.csv"


def write_now() -> str:
    """The time as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_entry(project: Project, entry: Entry) -> None:
    """Add a row.

    Raises:
        FormatError: a newer comp has written to the ledger.
    """
    path = ledger_path(project)
    # A lock of its own, for append_line takes the file's: only one process may find that the header is still missing.
    with hold_lock(path.with_name(".ledger.header.lock")):
        if not _read_rows(path):
            append_line(path, ",".join(COLUMNS))
        append_line(path, _format_row([str(FORMAT), *asdict(entry).values()]))


def read_ledger(project: Project) -> list[Entry]:
    """All submissions in the order they were made, each with the scores recorded last. A torn last line is left out.

    Raises:
        FormatError: a newer comp has written to it.
    """
    entries: dict[tuple[str, str], Entry] = {}
    for row in _read_rows(ledger_path(project))[1:]:
        found = _parse(row)
        key = (found.experiment, found.version)
        if key in entries and not found.sha256:
            scores = {name: value for name in ("public", "private") if (value := getattr(found, name)) is not None}
            entries[key] = replace(entries[key], **scores)
        else:
            entries[key] = found
    return list(entries.values())


def record_score(
    project: Project, experiment: str, version: str, *, public: float | None = None, private: float | None = None
) -> Entry:
    """Append a score of a submission; returns the submission as it now reads.

    Raises:
        SubmissionError: there is no such submission.
    """
    find_entry(project, experiment, version)
    append_entry(project, Entry(write_now(), experiment, version, public=public, private=private))
    return find_entry(project, experiment, version)


def find_entry(project: Project, experiment: str, version: str) -> Entry:
    """A submission, as the ledger has it.

    Raises:
        SubmissionError: there is no such submission; says which there are.
    """
    known = {entry.version: entry for entry in read_ledger(project) if entry.experiment == experiment}
    if version in known:
        return known[version]
    have = f"{experiment} has {', '.join(known)}" if known else f"{experiment} has none (`comp submit {experiment}` makes one)"
    raise SubmissionError(f"there is no submission {version!r} of {experiment}{suggest(version, known)}; {have}")


def _format_row(values: Sequence[str | float | None]) -> str:
    # One row is one line, or a torn one could not be told: line breaks of a message become spaces, and of a very long one the
    # beginning is kept, for csv reads no cell beyond 131,072 characters (its json has it whole).
    cells = [
        " ".join(value.split())[:LONGEST] if isinstance(value, str) else "" if value is None else repr(float(value))
        for value in values
    ]
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow(cells)
    return sink.getvalue()


def _read_rows(path: Path) -> list[list[str]]:
    """Raises: FormatError: a newer comp wrote a row, or it is none of ours."""
    if not path.exists():
        return []
    data = path.read_bytes()
    try:
        rows = list(csv.reader(io.StringIO(data[: data.rfind(b"\n") + 1].decode())))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read ({error}). Was it edited by hand?") from error
    for number, row in enumerate(rows[1:], start=2):
        if row and row[0].isdecimal() and int(row[0][:9]) > FORMAT:
            raise FormatError(
                f"{path}:{number} has format {row[0]}; comp {__version__} reads up to format {FORMAT}: install a newer comp"
            )
        if len(row) != len(COLUMNS):
            raise FormatError(
                f"{path}:{number} has {len(row)} columns; wanted {len(COLUMNS)} ({', '.join(COLUMNS)}). Was it edited by hand?"
            )
        strange = [name for name, cell in zip(COLUMNS, row, strict=True) if name in (*NUMBERS, "format") and not _is_number(cell)]
        if strange:
            raise FormatError(f"{path}:{number}: {strange[0]} is no number. Was it edited by hand?")
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell or 0)
    except ValueError:
        return False
    return True


def _parse(row: Sequence[str]) -> Entry:
    cells = dict(zip(COLUMNS[1:], row[1:], strict=True))
    values = {name: (float(cell) if cell else None) if name in NUMBERS else cell for name, cell in cells.items()}
    return Entry(**values)  # type: ignore[arg-type]
