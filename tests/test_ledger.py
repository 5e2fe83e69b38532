"""The ledger is only ever appended to; scores merge on reading, a torn line is left out."""

from __future__ import annotations

import pytest

from comp.errors import FormatError, SubmissionError
from comp.ledger import COLUMNS, Entry, append_entry, ledger_path, read_ledger, record_score
from comp.project import Project

FIRST = Entry(
    "2026-01-02T03:04:05+00:00", "exp001", "v001", "3f9a1c20", 0.91, 0.01, "accuracy", sha256="ab", message="focal, 384px"
)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_entries_come_back_and_the_file_says_its_format(project):
    second = Entry("2026-01-03T03:04:05+00:00", "exp002", "v001", sha256="cd")
    append_entry(project, FIRST)
    append_entry(project, second)
    assert read_ledger(project) == [FIRST, second]
    lines = ledger_path(project).read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) and lines[0].startswith(
        "format,time,experiment,version,digest,cv,cv_std,metric,public,private"
    )
    assert lines[1] == '1,2026-01-02T03:04:05+00:00,exp001,v001,3f9a1c20,0.91,0.01,accuracy,,,ab,"focal, 384px"'


def test_a_score_is_a_new_row_and_reading_merges_the_last(project):
    append_entry(project, FIRST)
    before = ledger_path(project).read_bytes()
    assert record_score(project, "exp001", "v001", public=0.9).public == 0.9
    record_score(project, "exp001", "v001", private=0.88)
    record_score(project, "exp001", "v001", public=0.0)
    (entry,) = read_ledger(project)
    assert (entry.public, entry.private, entry.cv, entry.message, entry.time) == (0.0, 0.88, 0.91, "focal, 384px", FIRST.time)
    assert ledger_path(project).read_bytes().startswith(before) and len(ledger_path(project).read_text().splitlines()) == 5


def test_a_score_of_an_unknown_version_says_which_there_are(project):
    with pytest.raises(SubmissionError, match="exp001 has none"):
        record_score(project, "exp001", "v001", public=0.9)
    append_entry(project, FIRST)
    with pytest.raises(SubmissionError, match="'v010' of exp001; did you mean 'v001'.*exp001 has v001"):
        record_score(project, "exp001", "v010", public=0.9)


@pytest.mark.parametrize("torn", ["1,2026-01-02T03:04", "for"])
def test_a_torn_last_line_is_left_out_and_cut_by_the_next_append(project, torn):
    if torn != "for":
        append_entry(project, FIRST)
    ledger_path(project).parent.mkdir(exist_ok=True)
    with open(ledger_path(project), "a") as file:
        file.write(torn)
    assert read_ledger(project) == ([] if torn == "for" else [FIRST])
    second = Entry("2026-01-03T03:04:05+00:00", "exp002", "v001", sha256="cd")
    append_entry(project, second)
    assert read_ledger(project)[-1] == second and torn + "\n" not in ledger_path(project).read_text()


def test_a_message_of_several_lines_stays_one_row(project):
    append_entry(project, Entry("t", "exp001", "v001", sha256="ab", message='two\nlines, "quoted"'))
    assert read_ledger(project)[0].message == 'two lines, "quoted"'
    assert len(ledger_path(project).read_text().splitlines()) == 2


def test_a_newer_format_and_a_row_edited_by_hand_are_refused_by_line(project):
    append_entry(project, FIRST)
    with open(ledger_path(project), "a") as file:
        file.write("1,too,short\n")
    with pytest.raises(FormatError, match=r"ledger\.csv:3 has 3 columns"):
        read_ledger(project)
    text = ledger_path(project).read_text().replace("1,too,short", "2,from,the,future")
    ledger_path(project).write_text(text)
    with pytest.raises(FormatError, match=r"ledger\.csv:3 has format 2.*newer comp"):
        append_entry(project, FIRST)
