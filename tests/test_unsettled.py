from __future__ import annotations

import pytest

from comp.errors import ManifestError
from comp.layers import read_competition
from comp.project import Project
from comp.unsettled import Question, list_questions

TEXT = """\
# Lines marked QUESTION are guesses: settle them before the first run.
format: 1
dataset:
  use: csv
  # QUESTION: which column is the id (a, b)?
  id: "?"
  # QUESTION: which column is to be predicted? The columns are a, b, c
  target: "?"
task:
  targets:
    mask: binary
split:
  use: stratified
  # QUESTION: will the test set bring a new 'patient'? Then take the line below
  # group: patient
"""


def test_questions_by_the_key_below_them():
    assert list_questions(TEXT) == [
        Question("dataset.id", 6, "which column is the id (a, b)?"),
        Question("dataset.target", 8, "which column is to be predicted? The columns are a, b, c"),
        Question("split.group", 15, "will the test set bring a new 'patient'? Then take the line below"),
    ]
    assert list_questions(TEXT.replace("  # QUESTION: which column is the id (a, b)?\n", ""))[0].key == "dataset.target"


def test_what_is_unsettled_is_a_fault_each_with_line_and_candidates_and_nothing_else_is_said(tmp_path):
    project = Project(tmp_path)
    project.competition_file.write_text(TEXT)
    with pytest.raises(ManifestError) as caught:
        read_competition(project)
    assert [(fault.line, fault.path) for fault in caught.value.faults] == [(6, "dataset.id"), (8, "dataset.target")]
    assert "which column is the id (a, b)?" in caught.value.faults[0].message and "`comp init`" in caught.value.faults[0].message
    assert str(caught.value).count("\n") == 2


def test_a_question_mark_without_a_comment(tmp_path):
    project = Project(tmp_path)
    project.competition_file.write_text('dataset: {use: csv, id: "?"}\n')
    with pytest.raises(ManifestError, match=r'competition.yaml:1  dataset.id: is "\?": could not be concluded'):
        read_competition(project)
