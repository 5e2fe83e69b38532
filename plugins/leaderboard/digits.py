"""Leaderboard `digits`: the score of a submission for the embedded digits. The only reader of the 450 test answers."""

from __future__ import annotations

import csv
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from comp.api import Leaderboard, SubmissionError, plugin

ROWS, TRAIN_ROWS = 1797, 1347


@plugin("leaderboard")
def digits(root: Path, /) -> Leaderboard:
    """Accuracy on the 450 test digits of dataset `digits`, as {"public": ...}.

    Example: {use: digits}
    """
    return score_submission


def score_submission(submission: Path) -> dict[str, float]:
    """The share of right labels in a file of `id,label`.

    Raises:
        SubmissionError: other columns, or other ids than those of the test set.
    """
    answers = read_answers()
    with open(submission, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != ["id", "label"]:
            raise SubmissionError(f"{submission.name}: columns {reader.fieldnames}; the digits are submitted as id,label")
        rows = [(row["id"], row["label"]) for row in reader]
    given = dict(rows)
    strange = sorted(set(given) ^ set(answers))
    if strange or len(rows) != len(answers):
        raise SubmissionError(
            f"{submission.name}: {len(rows)} rows for the {len(answers)} test digits; see {strange[:3] or 'ids twice'}"
        )
    return {"public": sum(given[name] == answer for name, answer in answers.items()) / len(answers)}


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
