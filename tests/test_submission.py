"""A submission has the sample's form or is refused with all its faults; its versions are written once and never changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from comp.api import Target, Task
from comp.catalog import build_catalog
from comp.errors import SubmissionError
from comp.ledger import read_ledger
from comp.predictions import Predictions
from comp.project import Project
from comp.submission import Shape, build_submission, check_submission, write_submission

GRADE = Task((Target("grade", "multiclass", ("0", "1", "2"), ("grade",)),))
COLOUR = Task((Target("colour", "multiclass", ("blue", "red"), ("colour",)),))
BOTH = Task((*GRADE.targets, *COLOUR.targets))
VALUE = Task((Target("value", "regression", (), ("value",)),))


@pytest.fixture(scope="module")
def catalog():
    return build_catalog(None)


def text_table(**columns):
    return pd.DataFrame({name: np.asarray(values, dtype=object) for name, values in columns.items()}).astype(str)


SAMPLE = text_table(Id=["007", "7", "08"], answer=["0", "0", "0"])


def predict(task, ids, rows):
    return Predictions(task, np.array(ids, dtype=object), np.asarray(rows, dtype=np.float64).reshape(len(ids), task.outputs))


def check(frame, sample=SAMPLE, task=GRADE, id_column="Id", rows_sum_to_one=False):
    check_submission(frame, sample, task, Shape((id_column,), rows_sum_to_one=rows_sum_to_one))


def refusal(frame, **given):
    with pytest.raises(SubmissionError) as error:
        check(frame, **given)
    return str(error.value)


def test_rows_and_columns_stand_as_in_the_sample_with_ids_as_text(catalog):
    predictions = predict(GRADE, ["7", "08", "007"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    frame = build_submission(catalog, {"use": "labels"}, GRADE, predictions, SAMPLE, "Id")
    assert frame.to_csv(index=False, lineterminator="\n") == "Id,answer\n007,2\n7,0\n08,1\n"


def test_several_targets_write_several_columns_wherever_the_id_stands(catalog):
    sample = text_table(colour=["red", "red"], key=["a", "b"], grade=["0", "0"])
    predictions = predict(BOTH, ["b", "a"], [[1, 0, 0, 0.9, 0.1], [0, 0, 1, 0.2, 0.8]])
    frame = build_submission(catalog, {"use": "labels"}, BOTH, predictions, sample, "key")
    assert frame.to_csv(index=False, lineterminator="\n") == "colour,key,grade\nred,a,2\nblue,b,0\n"


def test_without_a_sample_there_are_the_id_and_the_targets(catalog):
    frame = build_submission(catalog, {"use": "labels"}, BOTH, predict(BOTH, ["a"], [[0, 1, 0, 1, 0]]), None, "image_id")
    assert frame.to_csv(index=False, lineterminator="\n") == "image_id,grade,colour\na,1,blue\n"


def test_an_empty_test_set_and_a_test_set_of_others_are_refused(catalog):
    with pytest.raises(SubmissionError, match="no rows.*comp predict"):
        build_submission(catalog, {"use": "labels"}, GRADE, predict(GRADE, [], np.empty((0, 3))), SAMPLE, "Id")
    with pytest.raises(
        SubmissionError, match=r"1 id \(08\) of the sample's 3 have no prediction\n.*1 id \(8\) not in the sample"
    ):
        build_submission(catalog, {"use": "labels"}, GRADE, predict(GRADE, ["007", "7", "8"], np.eye(3)), SAMPLE, "Id")


def test_missing_extra_and_doubled_ids_are_named_together():
    said = refusal(text_table(Id=["007", "007", "9"], answer=["0", "1", "2"]))
    assert "1 id (007) more than once" in said and "2 ids (7, 08) of the sample's 3 have no prediction" in said
    assert "1 id (9) not in the sample" in said and said.endswith("nothing was written.")


def test_a_sample_with_an_id_twice_is_a_fault_of_the_count():
    sample = text_table(Id=["a", "b", "b"], answer=["0", "0", "0"])
    assert "2 rows; the sample has 3, with 1 id (b) more than once" in refusal(
        text_table(Id=["a", "b"], answer=["0", "1"]), sample=sample
    )


def test_another_order_of_rows_or_columns_is_refused():
    assert "from row 2 on ('08', wanted '7')" in refusal(text_table(Id=["007", "08", "7"], answer=["0", "1", "2"]))
    assert "another order" in refusal(text_table(answer=["0", "1", "2"], Id=["007", "7", "08"]))
    assert "missing answer; not in the sample guess" in refusal(text_table(Id=["007", "7", "08"], guess=["0", "1", "2"]))


def test_whole_numbers_stay_whole_and_numbers_numbers():
    assert "answer: '1.0', where the sample has whole numbers ('0')" in refusal(
        text_table(Id=["007", "7", "08"], answer=["0", "1.0", "2"])
    )
    decimals = text_table(Id=["007", "7", "08"], answer=["0.5", "0", "0"])
    assert "'cat', where the sample has numbers" in refusal(
        text_table(Id=["007", "7", "08"], answer=["0", "cat", "2"]), sample=decimals
    )
    names = text_table(Id=["007", "7", "08"], answer=["cat", "0", "0"])
    check(text_table(Id=["007", "7", "08"], answer=["0", "cat", "2"]), sample=names)
    frame = pd.DataFrame({"Id": ["007", "7", "08"], "answer": [0.5, 0.25, 1.0]})
    check(frame)  # zeros in the sample say nothing against probabilities
    assert "answer: numbers, where the sample has text ('cat')" in refusal(frame, sample=names)


def test_no_answer_may_be_missing():
    assert "answer: no answer for 1 id (7)" in refusal(text_table(Id=["007", "7", "08"], answer=["0", "", "2"]))
    frame = pd.DataFrame({"Id": ["007", "7", "08"], "answer": [0.5, np.nan, 1.0]})
    assert "answer: no number (NaN or infinite) for 1 id (7)" in refusal(frame)
    with_empty = text_table(Id=["007", "7", "08"], answer=["x y", "", "x"])
    check(text_table(Id=["007", "7", "08"], answer=["x", "", ""]), sample=with_empty)


def test_probabilities_are_in_range_and_sum_to_one_where_demanded():
    sample = text_table(Id=["a", "b"], p=["0", "0"], q=["0", "0"])
    frame = pd.DataFrame({"Id": ["a", "b"], "p": [0.5, 1.5], "q": [0.5, -0.25]})
    said = refusal(frame, sample=sample)
    assert "p: 1.5 is no probability (0 to 1), for 1 id (b)" in said and "q: -0.25" in said
    check(frame, sample=sample, task=VALUE)
    loose = pd.DataFrame({"Id": ["a", "b"], "p": [0.5, 0.5], "q": [0.5, 0.4]})
    check(loose, sample=sample)
    assert "must sum to 1 (within 1e-06): 0.9 for 1 id (b)" in refusal(loose, sample=sample, rows_sum_to_one=True)


# ---- versions ------------------------------------------------------------------------------------------------------------

RECORD = {"digest": "3f9a1c20", "cv": np.float64(0.91), "cv_std": 0.01, "metric": "accuracy", "message": "first", "commit": "abc"}


def frame_of(answer):
    return text_table(Id=["007", "7"], answer=["0", answer])


def test_a_version_is_written_with_its_record_and_a_row(tmp_path):
    project = Project(tmp_path)
    done = write_submission(project, "exp001", frame_of("1"), RECORD)
    assert (done.version, done.new, done.path) == ("v001", True, project.submissions / "exp001" / "v001.csv")
    assert done.path.read_bytes() == b"Id,answer\n007,0\n7,1\n"
    record = json.loads(done.path.with_suffix(".json").read_text())
    assert record["sha256"] == done.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert record["format"] == 1 and record["commit"] == "abc" and record["version"] == "v001" and record["cv"] == 0.91
    (entry,) = read_ledger(project)
    assert (entry.version, entry.digest, entry.cv, entry.metric, entry.message) == ("v001", "3f9a1c20", 0.91, "accuracy", "first")


def test_the_same_content_equals_its_earlier_version_and_writes_nothing(tmp_path):
    project = Project(tmp_path)
    for answer in ("1", "2", "3"):
        write_submission(project, "exp001", frame_of(answer), RECORD)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = write_submission(project, "exp001", frame_of("2"), {**RECORD, "message": "again"})
    assert (done.version, done.new) == ("v002", False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert write_submission(project, "exp002", frame_of("2"), RECORD).version == "v001"


def test_a_version_that_a_killed_process_left_without_its_row_is_finished(tmp_path):
    project = Project(tmp_path)
    torn = project.submissions / "exp001" / "v001.csv"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(frame_of("1").to_csv(index=False, lineterminator="\n").encode())
    assert write_submission(project, "exp001", frame_of("2"), RECORD).version == "v002"
    done = write_submission(project, "exp001", frame_of("1"), RECORD)
    assert (done.version, done.new) == ("v001", True) and torn.with_suffix(".json").exists()
    assert [entry.version for entry in read_ledger(project)] == ["v002", "v001"]


def test_a_number_is_never_used_twice(tmp_path):
    project = Project(tmp_path)
    write_submission(project, "exp001", frame_of("1"), RECORD).path.unlink()
    assert write_submission(project, "exp001", frame_of("2"), RECORD).version == "v002"


SUBMIT_TEN = """
import sys
import pandas as pd
from pathlib import Path
from comp.project import Project
from comp.submission import write_submission
for number in range(10):
    frame = pd.DataFrame({"Id": ["a"], "answer": [f"{sys.argv[2]}{number}"]})
    write_submission(Project(Path(sys.argv[1])), "exp001", frame, {"digest": sys.argv[2]})
"""


def test_two_processes_at_once_get_versions_and_rows_of_their_own(tmp_path):
    running = [subprocess.Popen([sys.executable, "-c", SUBMIT_TEN, str(tmp_path), who]) for who in ("x", "y")]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    versions = [f"v{number:03d}" for number in range(1, 21)]
    entries = read_ledger(Project(tmp_path))
    assert [entry.version for entry in entries] == versions
    assert sorted(entry.digest for entry in entries) == ["x"] * 10 + ["y"] * 10
    folder = tmp_path / "submissions" / "exp001"
    assert sorted(path.stem for path in folder.glob("*.csv")) == sorted(path.stem for path in folder.glob("*.json")) == versions
