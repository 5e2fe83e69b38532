from __future__ import annotations

import io

import pytest
from rich.console import Console

from comp.cli.output import open_search_view
from comp.events import EpochFinished, FoldStarted, RunFinished, StoreProgress, TrialFinished
from comp.report.search import SearchLiveView, SearchPlainView

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def make_view(width: int = 110, height: int = 40) -> tuple[SearchLiveView, io.StringIO]:
    stream = io.StringIO()
    size = {"width": width, "height": height, "color_system": None, "legacy_windows": False}
    return SearchLiveView(Console(file=stream, force_terminal=True, **size)), stream


def draw(view: SearchLiveView, width: int = 110) -> list[str]:
    console = Console(width=width, color_system=None, file=io.StringIO())
    console.print(view.render())
    return console.file.getvalue().splitlines()


def test_plain_lines_say_what_began_and_what_came_of_it(searched):
    stream = io.StringIO()
    with SearchPlainView(stream) as view:
        for event in searched.tell(6):
            view(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "exp042  search aa11bb22  accuracy  6 trials on fold 0"
    assert [line.split()[0] for line in lines[2:5]] == ["fixed", "varied", "measured"]
    assert "t0002  starts  lr 0.001  loss <ldam> max_m=0.5  epochs 3" in lines
    assert "t0002  done  accuracy 0.9000  3 epochs  6.0 s  (2 of 6, best t0002 0.9000)" in lines
    assert "t0005  failed  0 epochs  0.0 s  not enough memory  (5 of 6, best t0002 0.9000)" in lines
    assert sum(line.startswith("t0001") for line in lines) == 3  # began, ended, and the table


def test_the_table_has_running_trials_first_and_marks_the_best(searched):
    view, _ = make_view()
    events = list(searched.tell(7))
    for event in events[:-3]:  # the seventh has trained two epochs
        view(event)
    rows = [line.split() for line in draw(view)]
    assert rows[0] == ["trial", "state", "epoch", "accuracy", "lr", "loss", "epochs"]
    assert rows[1][:3] == ["t0007", "running", "2/3"]
    assert rows[2][:5] == ["t0002", "★", "done", "3/3", "0.9000"]
    assert sum("★" in row for row in rows) == 1
    assert "6/7" in rows[-1] and "best t0002 0.9000" in " ".join(rows[-1])


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_it_fits_any_terminal(searched, width, height):
    view, _ = make_view(width, height)
    for event in list(searched.tell(60))[:-1]:
        view(event)
    lines = draw(view, width)
    assert all(len(line) <= width for line in lines) and len(lines) < height


def test_it_ends_with_the_table_and_a_visible_cursor(searched):
    view, stream = make_view()
    with view:
        for event in searched.tell(6, confirmed=0.85):
            view(event)
    text = stream.getvalue()
    assert text.count(HIDE) == text.count(SHOW) == 1
    end = text[text.rindex(SHOW) :]
    assert "best t0002  accuracy 0.9000" in end and "confirmed  accuracy 0.8500" in end and "complete  1:01" in end
    assert "two trials at once" in text and "t0005 failed: not enough memory" in text and "the <long> tail" in text


def test_the_folds_that_confirm_are_rows_below_until_they_are_done(searched, story):
    view, stream = make_view()
    with view:
        for event in [*searched.tell(3)][:-1]:
            view(event)
        view(StoreProgress("train", 3, 32))
        view(story.start(("1",)))
        view(FoldStarted("1", 16, 20))
        view(EpochFinished("1", "train", 0, 3, 0.5, 0.5, {"accuracy": 0.75}, 1e-3, 1.0, 100.0, True))
        shown = draw(view)
        assert any(line.startswith("1 ") and "0.7500" in line for line in shown) and "reading train images" in "\n".join(shown)
        view(StoreProgress("train", 32, 32))
        view(RunFinished(True, story.SCORES, 3.0, "exp042"))
        assert not any(line.startswith("1 ") for line in draw(view))
    assert "OOF" not in stream.getvalue()


def test_a_terminal_that_went_away_does_not_stop_the_search(searched):
    view, stream = make_view()
    view.__enter__()

    def gone(text):
        raise OSError(5, "Input/output error")

    stream.write = gone
    for event in searched.tell(3):
        view(event)
    view.stop()
    assert view.search.finished is not None


def test_no_terminal_means_plain_lines_on_stderr_where_stdout_is_for_json(capsys):
    view = open_search_view(as_json=True)
    view(TrialFinished("t0001", "done", 0.5, 3, 1.0))
    said = capsys.readouterr()
    assert isinstance(view, SearchPlainView) and said.out == "" and said.err.startswith("t0001  done")
