"""Leaderboard `answers`: the share of right labels, where the answers lie on this machine.

They are read when a submission is scored and at no other time: neither training nor prediction sees them.
"""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from comp.api import Leaderboard, PluginError, SubmissionError, Tables, plugin

SHOWN = 3


@plugin("leaderboard")
def answers(
    tables: Tables, /, *, folder: str | None = None, file: str | None = None, id: str | None = None, target: str | None = None
) -> Leaderboard:
    """Accuracy on the whole test set, as {"public": ...}: by the class folders of the test images, or by a table.

    A submission of one answer column is right where it has the label; of several, where the largest number stands in the
    column that is named as the label.

    Args:
        folder: what holds the class folders of the test images, as the test table names it (dataset.test), or null.
        file: CSV with the answers, spelt as submissions spell them; from the dataset's folder, or absolute; or null.
        id: the column of `file` that submissions begin with; null: its first.
        target: the column of `file` with the answers; null: its second.

    Raises:
        PluginError: neither `folder` nor `file`, or both.

    Example: {use: answers, folder: test}
    """
    if (folder is None) == (file is None):
        raise PluginError("leaderboard answers: where are the answers? Give `folder` (class folders of test images) or `file`")

    def score(submission: Path) -> dict[str, float]:
        known = read_folders(tables, folder) if folder is not None else read_table(tables.root, file or "", id, target)
        ids, given = read_submission(submission, set(known.values()))
        if folder is not None and ids == [str(number) for number in range(len(known))]:
            known = dict(zip(ids, known.values(), strict=True))  # rows that are numbered follow the test table
        demand_ids(submission.name, ids, known)
        return {"public": sum(label == known[name] for name, label in zip(ids, given, strict=True)) / len(ids)}

    return score


def read_folders(tables: Tables, folder: str) -> dict[str, str]:
    """Test id -> the folder right below `folder` that its images lie in, in the order of the test table.

    Raises:
        SubmissionError: no test set; images that lie outside class folders; two classes for one id.
    """
    if tables.test is None or not len(tables.test):
        raise SubmissionError("leaderboard answers: there is no test set, so nothing to score")
    place, known = PurePosixPath(folder), {}
    for name, image in zip(tables.test["id"], tables.test["image"], strict=True):
        path = PurePosixPath(image)
        inside = path.relative_to(place).parts if path.is_relative_to(place) else ()
        if len(inside) < 2:
            raise SubmissionError(f"leaderboard answers: the test image {image!r} lies in no class folder of {folder!r}")
        if known.setdefault(name, inside[0]) != inside[0]:
            raise SubmissionError(f"leaderboard answers: {name!r} has images in {known[name]!r} and in {inside[0]!r}")
    return known


def read_table(root: Path, file: str, id_column: str | None, target: str | None) -> dict[str, str]:
    """Id -> answer.

    Raises:
        SubmissionError: no such file, column or UTF-8; an id that stands there twice.
    """
    header, rows = read_rows((root / Path(file).expanduser()).resolve())
    wanted = [id_column or header[0], target or header[min(1, len(header) - 1)]]
    absent = [name for name in wanted if name not in header]
    if absent:
        raise SubmissionError(f"{file}: no column {absent[0]!r} (leaderboard answers); there are {', '.join(map(repr, header))}")
    key, value = map(header.index, wanted)
    known = {row[key]: row[value] for row in rows}
    if len(known) < len(rows) or not rows:
        raise SubmissionError(f"{file}: {len(rows)} answers for {len(known)} different {wanted[0]!r}; wanted one for each")
    return known


def read_submission(file: Path, labels: set[str]) -> tuple[list[str], list[str]]:
    """Ids and the label that each row stands for.

    Raises:
        SubmissionError: it holds neither labels nor a column of numbers per class.
    """
    header, rows = read_rows(file)
    if len(header) > 2 and labels <= set(header[1:]):
        given = [choose_largest(header[1:], row[1:], file.name) for row in rows]
    elif len(header) == 2 and labels & {row[1] for row in rows}:
        given = [row[1] for row in rows]
    else:
        looks = "no rows" if not rows else f"{', '.join(map(repr, header[1:][:SHOWN]))} such as {rows[0][1]!r}"
        raise SubmissionError(
            f"{file.name} has {looks}; the answers are labels such as {min(labels)!r}: leaderboard answers wants one column with "
            "those, or a column of numbers for each. Numbers of classes are scored by `file`, a table that holds them so."
        )
    return [row[0] for row in rows], given


def choose_largest(names: list[str], cells: list[str], file: str) -> str:
    """The name over the largest number, of equals the first."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError as error:
        raise SubmissionError(f"{file}: {error}; wanted a number in each class's column") from error
    return names[numbers.index(max(numbers))]


def demand_ids(file: str, ids: list[str], known: dict[str, str]) -> None:
    """Raises: SubmissionError: other ids than those of the answers, or one twice."""
    strange = sorted(set(ids) ^ set(known))
    if strange or len(ids) != len(known):
        shown = ", ".join(map(repr, strange[:SHOWN])) or "ids twice"
        raise SubmissionError(f"{file}: {len(ids)} rows for {len(known)} answers; see {shown}")


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header, and the rows as text.

    Raises:
        SubmissionError: no such file, not UTF-8, no two columns, or rows of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{path} cannot be read: {error}") from error
    ragged = [number for number, row in enumerate(rows, 1) if len(row) != len(header)]
    if len(header) < 2 or ragged:
        what = f"row {ragged[0]} has not the {len(header)} cells of the header" if ragged else "wanted an id and an answer"
        raise SubmissionError(f"{path}: {what}")
    return header, rows
