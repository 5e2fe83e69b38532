"""Leaderboard `digits`: the score of a submission for the embedded digits. The only reader of the 450 test answers."""

from __future__ import annotations

import csv
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from comp.api import Leaderboard, SubmissionError, plugin

ROWS, TRAIN_ROWS = 1797, 1347
DIGITS = frozenset("0123456789")
PARTS = {"label": int, "high": lambda digit: int(digit) // 5, "rest": lambda digit: int(digit) % 5}
"""What dataset `digits` can be asked for, each from the digit."""


@plugin("leaderboard")
def digits(root: Path, /) -> Leaderboard:
    """Accuracy on the 450 test digits of dataset `digits`, or on one part of theirs (`high`, `rest`), as {"public": ...}.

    Example: {use: digits}
    """
    return score_submission


def score_submission(submission: Path) -> dict[str, float]:
    """The share of right labels in a file of `id,label` (or `id,high`, `id,rest`); of a list of them, the first counts.

    Raises:
        SubmissionError: other columns, other ids than those of the test set, or answers that are no digit.
    """
    answers = read_answers()
    with open(submission, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        if len(header) != 2 or header[0] != "id" or header[1] not in PARTS:
            raise SubmissionError(f"{submission.name}: columns {header}; wanted id,label (or id,high or id,rest)")
        rows = [(row["id"], row[header[1]]) for row in reader]
    given = {name: label.split(" ")[0] for name, label in rows}
    text = next((label for _, label in rows if not set(label.split(" ")) <= DIGITS), None)
    if text is not None:
        raise SubmissionError(f"{submission.name}: {text!r} is neither a digit nor a list of them")
    strange = sorted(set(given) ^ set(answers))
    if strange or len(rows) != len(answers):
        raise SubmissionError(
            f"{submission.name}: {len(rows)} rows for the {len(answers)} test digits; see {strange[:3] or 'ids twice'}"
        )
    part = PARTS[header[1]]
    return {"public": sum(given[name] == str(part(answer)) for name, answer in answers.items()) / len(answers)}


def read_answers() -> dict[str, str]:
    """Test id -> digit."""
    # The same frozen permutation as in dataset `digits`; a test compares the ids of the two.
    test_rows = set(np.random.RandomState(2024).permutation(ROWS)[TRAIN_ROWS:].tolist())
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise SubmissionError("the digits' answers come with scikit-learn, which is not installed here: pip install scikit-learn")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt", encoding="ascii") as file:
        return {
            f"digit_{row + 1:04d}": str(int(float(line.rpartition(",")[2]))) for row, line in enumerate(file) if row in test_rows
        }
