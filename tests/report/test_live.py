from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from rich.console import Console

from comp.events import FoldFinished, FoldStarted, Notice, RunFinished, StageStarted, StepFinished, StoreProgress
from comp.report import choose_view
from comp.report.live import REFRESH_S, LiveView
from comp.report.plain import PlainView

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def make_view(width: int = 110) -> tuple[LiveView, io.StringIO]:
    stream = io.StringIO()
    return LiveView(Console(file=stream, force_terminal=True, width=width, color_system=None, legacy_windows=False)), stream


def draw(view: LiveView, width: int = 110) -> str:
    console = Console(width=width, color_system=None, file=io.StringIO())
    console.print(view.render())
    return console.file.getvalue()


def test_a_row_per_fold_with_its_state(story):
    view, _ = make_view()
    view(story.start(("0", "1")))
    view(FoldStarted("0", 16, 20))
    view(StageStarted("0", "train", 3, 4))
    view(story.epoch("0", 0, 0.7))
    view(StepFinished("0", "train", 1, 2, 4, 0.4321, 812.4))
    rows = [line.split() for line in draw(view).splitlines()]
    assert rows[0] == ["fold", "state", "epoch", "loss", "img/s", "left", "accuracy", "best"]
    assert rows[1][:3] == ["0", "training", "2/3"] and "━" in rows[1][3]
    assert rows[1][4:6] == ["0.4321", "812"] and rows[1][-2:] == ["0.7000", "0.7000"]
    assert rows[2] == ["1", "waiting"]


def test_experiments_side_by_side_leave_as_they_end(story):
    view, stream = make_view()
    with view:
        for name in ("exp001", "exp002"):
            view(replace(story.start((f"{name}/0",)), experiment=name))
            view(FoldStarted(f"{name}/0", 16, 20))
        assert [line.split()[0] for line in draw(view).splitlines()] == ["fold", "exp001/0", "exp002/0"]
        view(FoldFinished("exp001/0", {"accuracy": 0.9}, 1, 7.5))
        view(RunFinished(True, {**story.SCORES, "per_fold": {"0": 0.9}}, 8.0, "exp001"))
        assert [line.split()[0] for line in draw(view).splitlines()] == ["fold", "exp002/0"]
        assert stream.getvalue().count(SHOW) == 0  # the block is still there
        view(RunFinished(False, {}, 9.0, "exp002"))
        assert stream.getvalue().count(SHOW) == 1
    said = stream.getvalue()
    assert said.index("exp001\n") < said.index("OOF accuracy") < said.index("exp002\n") < said.index("not complete yet")


def test_one_experiment_after_another_is_drawn_anew(story):
    view, stream = make_view()
    with view:
        for name in ("exp001", "exp002"):
            view(replace(story.start((f"{name}/0",)), experiment=name))
            view(FoldStarted(f"{name}/0", 16, 20))
            assert f"{name}/0" in draw(view)
            view(RunFinished(True, story.SCORES, 8.0, name))
    assert stream.getvalue().count(HIDE) == stream.getvalue().count(SHOW) == 2


def test_stages_have_a_column_only_where_there_are_some(story):
    view, _ = make_view()
    view(story.start(("0",)))
    view(FoldStarted("0", 16, 20))
    view(StageStarted("0", "head", 1, 4))
    assert draw(view).splitlines()[0].split()[:3] == ["fold", "state", "stage"]


def test_images_being_read_have_a_bar():
    view, _ = make_view()
    view(StoreProgress("train", 300, 1200))
    assert "reading train images" in draw(view) and "300/1,200" in draw(view)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_any_terminal(story, width):
    view, _ = make_view(width)
    for event in list(story.tell())[:-1]:
        view(event)
    assert all(len(line) <= width for line in draw(view, width).splitlines())


def test_it_ends_with_the_table_and_a_visible_cursor(story):
    view, stream = make_view()
    with view:
        for event in story.tell():
            view(event)
    text = stream.getvalue()
    assert text.count(HIDE) == text.count(SHOW) == 1
    end = text[text.rindex(SHOW) :]
    assert "OOF accuracy 0.8600 ± 0.0200   40 of 42 units scored" in end and "complete  15 s" in end
    assert "2 rare classes" in text and "exp042  3f9a1c20" in text


def test_an_interrupt_leaves_the_terminal_clean(story):
    view, stream = make_view()
    with pytest.raises(KeyboardInterrupt), view:
        view(story.start())
        raise KeyboardInterrupt
    text = stream.getvalue()
    assert text.count(HIDE) == text.count(SHOW) == 1
    after = text[text.rindex(SHOW) :]
    assert "\x1b[2K" in after and "fold" not in after  # the block is wiped, nothing is drawn after it


def test_steps_are_cheap_and_frames_are_few(story):
    view, stream = make_view()
    with view:
        view(story.start())
        view(FoldStarted("0", 16, 20))
        before = stream.getvalue().count("img/s")
        event = StepFinished("0", "train", 0, 1, 10, 0.5, 800.0)
        # The budget is 20 µs a step; a busy machine is given ten times that.
        started = time.perf_counter()
        for _ in range(2000):
            view(event)
        elapsed = time.perf_counter() - started
    frames = stream.getvalue().count("img/s") - before
    assert elapsed / 2000 < 200e-6
    assert frames <= elapsed / REFRESH_S + 1


def test_a_terminal_that_went_away_does_not_stop_the_run(story):
    view, stream = make_view()
    view.__enter__()
    view(story.start())

    def gone(text):
        raise OSError(5, "Input/output error")

    stream.write = gone
    for event in story.tell():
        view(event)
    view.stop()
    assert view.progress.finished["exp042"].complete


def test_no_terminal_means_plain_lines(monkeypatch):
    assert isinstance(choose_view(io.StringIO()), PlainView)


def test_a_terminal_means_the_live_view():
    code = "import sys\nfrom comp.report import choose_view\nprint(type(choose_view(sys.stdout)).__name__)"
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    done = subprocess.run([sys.executable, "-c", code], stdout=follower, env=environment, check=True)
    os.close(follower)
    assert done.returncode == 0 and os.read(leader, 1000).decode().strip() == "LiveView"
    os.close(leader)


def test_notices_stay_above(story):
    view, stream = make_view()
    with view:
        view(Notice("reading images for the first time"))
    assert "reading images for the first time" in stream.getvalue()
