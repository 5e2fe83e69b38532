from __future__ import annotations

import pytest
from sklearn.datasets import load_digits

from comp.api import SubmissionError
from comp.plugins.dataset.digits import digits as dataset
from comp.plugins.leaderboard.digits import digits, read_answers


@pytest.fixture
def rows(tmp_path) -> list[tuple[str, str]]:
    """The right answers, from scikit-learn's own loader."""
    ids = dataset(tmp_path).test["id"].tolist()
    answers = load_digits().target
    return [(name, str(answers[int(name[6:]) - 1])) for name in ids]


def submit(tmp_path, rows, header="id,label"):
    file = tmp_path / "v001.csv"
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return digits(tmp_path)(file)


def test_right_answers_score_one(tmp_path, rows):
    assert read_answers() == dict(rows)
    assert submit(tmp_path, rows[::-1]) == {"public": 1.0}


def test_one_constant_scores_its_share(tmp_path, rows):
    zeros = sum(answer == "0" for _, answer in rows)
    assert submit(tmp_path, [(name, "0") for name, _ in rows]) == {"public": zeros / 450}


def test_another_set_of_ids_is_refused(tmp_path, rows):
    with pytest.raises(SubmissionError, match="449 rows for the 450 test digits"):
        submit(tmp_path, rows[1:])
    with pytest.raises(SubmissionError, match="ids twice"):
        submit(tmp_path, [*rows, rows[0]])
    with pytest.raises(SubmissionError, match="columns .*'Id'"):
        submit(tmp_path, rows, header="Id,label")


def test_of_a_list_the_first_counts_and_what_is_no_digit_is_refused(tmp_path, rows):
    lists = [(name, f"{label} {(int(label) + 1) % 10}") for name, label in rows]
    assert submit(tmp_path, lists) == {"public": 1.0}
    with pytest.raises(SubmissionError, match="'0.5' is neither a digit nor a list of them"):
        submit(tmp_path, [(rows[0][0], "0.5"), *rows[1:]])
