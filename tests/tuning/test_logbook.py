"""What is noted of trials while a search runs, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from comp.errors import WorkspaceError
from comp.events import Notice, TrialFinished, TrialReported, TrialStarted
from comp.stopping import Stop
from comp.trials import Search, read_trials
from comp.tuning.logbook import MOST_FAILURES, Logbook, tell_earlier


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    events = []
    search = Search("exp001", "0a1b2c3d", tmp_path / "search" / "0a1b2c3d", {})
    search.folder.mkdir(parents=True)
    logbook = Logbook(
        search, lambda drawn: ({"optimizer.lr": drawn["lr"]}, f"run{drawn['lr']}"), events.append, Stop(), tmp_path / "stop"
    )
    logbook.events = events
    return logbook


def test_a_trial_from_its_start_to_its_end(book):
    book.start("a", {"lr": 1})
    assert [(record.trial, record.state) for record in read_trials(book.search.folder)] == [("t0001", "running")]
    for epoch, score in ((1, 0.5), (2, 0.6)):
        book.report("a", epoch, score, elapsed_s=2.0 * epoch)
    book.end("a", "done", {"0": 0.6})
    [record] = read_trials(book.search.folder)
    assert (record.state, record.score, record.epochs, record.elapsed_s) == ("done", 0.6, 2, 4.0)
    assert record.curve == [(1, 0.5), (2, 0.6)] and record.per_fold == {"0": 0.6} and record.digest == "run1"
    assert book.events == [
        TrialStarted("t0001", {"optimizer.lr": 1}, "run1"),
        TrialReported("t0001", 1, 0.5),
        TrialReported("t0001", 2, 0.6),
        TrialFinished("t0001", "done", 0.6, 2, 4.0),
    ]


def test_what_several_trials_warn_of_is_told_once(book):
    book.warn(["logger x failed"])
    book.warn(["logger x failed", "1 image is left out"])
    assert book.events == [Notice("logger x failed", "warning"), Notice("1 image is left out", "warning")]


def test_an_interrupted_trial_goes_on_under_its_name(book):
    book.start("a", {"lr": 1})
    book.start("b", {"lr": 2})
    for epoch in (1, 2, 3):
        book.report("b", epoch, epoch / 10, elapsed_s=float(epoch))
    book.close()
    left = read_trials(book.search.folder)
    assert [(record.trial, record.state, record.epochs) for record in left] == [("t0001", "running", 0), ("t0002", "running", 3)]
    again = Logbook(book.search, book.describe, book.emit, Stop(), book.stop_file, begun=left)
    book.events.clear()
    again.start("c", {"lr": 2})
    # The checkpoint was of the second epoch: the third is gone over again.
    again.report("c", 3, 0.35, elapsed_s=1.0)
    again.end("c", "done")
    record = read_trials(book.search.folder)[1]
    assert (record.trial, record.curve, record.elapsed_s) == ("t0002", [(1, 0.1), (2, 0.2), (3, 0.35)], 4.0)
    assert book.events[0] == TrialStarted("t0002", {"optimizer.lr": 2}, "run2", 3)
    assert [record.trial for record in again.begun] == ["t0001"]


def test_failures_end_the_search_only_where_nothing_succeeds_between_them(book):
    for number in range(2 * MOST_FAILURES):
        book.start(str(number), {"lr": number})
        book.end(str(number), "done" if number == 5 else "failed", why=f"reason {number}")
        if book.broken:
            break
    assert number == 5 + MOST_FAILURES
    assert book.broken == f"10 trials failed one after another, the last because: reason {number}"
    assert book.is_over() and book.stop_file.exists()


def test_a_process_that_cannot_start_counts_as_a_failure(book):
    for number in range(MOST_FAILURES):
        book.end(str(number), "failed", why="no shared folder")
    assert "no shared folder" in book.broken and not read_trials(book.search.folder)


def test_when_the_end_is_asked_for_it_waits_for_what_runs_and_begins_nothing(book):
    book.start("a", {"lr": 1})
    assert not book.is_over() and not book.stop_file.exists()
    book.stop.asked = True
    assert not book.is_over() and book.stop_file.exists()
    book.start("b", {"lr": 2})
    book.interrupt("a")
    assert book.is_over()
    assert [(record.trial, record.state) for record in read_trials(book.search.folder)] == [("t0001", "running")]


def test_it_does_not_wait_for_ever(book, monkeypatch):
    monkeypatch.setattr("comp.tuning.logbook.LONGEST_STOP_S", -1.0)
    book.start("a", {"lr": 1})
    book.stop.asked = True
    assert book.is_over()
    book.close()
    assert [record.state for record in read_trials(book.search.folder)] == ["running"]


def test_a_manifest_that_changed_ends_it(book):
    def refuse(drawn):
        raise WorkspaceError("the manifest has changed")

    book.describe = refuse
    book.start("a", {"lr": 1})
    assert book.broken == "the manifest has changed" and not book.running and not read_trials(book.search.folder)


def test_what_was_found_before_is_told_as_it_was(book):
    book.start("a", {"lr": 1})
    book.report("a", 1, 0.5, 1.0)
    book.end("a", "pruned")
    told = []
    tell_earlier(read_trials(book.search.folder), told.append)
    assert told == [event for event in book.events if not isinstance(event, TrialReported)]
