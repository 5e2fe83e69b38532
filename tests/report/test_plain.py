from __future__ import annotations

import io
from dataclasses import replace

from comp.events import EpochFinished, FoldFinished, FoldSkipped, FoldStarted, Notice, RunFinished, StoreProgress
from comp.report.plain import PlainView


def read(*events) -> list[str]:
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in events:
            view(event)
    return stream.getvalue().splitlines()


def test_an_epoch_is_one_line(story):
    event = EpochFinished("0", "train", 2, 20, 0.412345, 0.5, {"accuracy": 0.9312, "f1": 0.1}, 1e-3, 12.3, 812.4, False)
    best = story.epoch("0", 1, 0.9401)
    assert (
        read(story.start(), best, event)[-1] == "fold 0  epoch 3/20  loss 0.4123  accuracy 0.9312 (best 0.9401)  812 img/s  12 s"
    )


def test_a_stage_is_named_where_it_has_a_name(story):
    assert read(story.start(), story.epoch("0", 0, 0.5, stage="head"))[-1].startswith("fold 0  stage head  epoch 1/3  loss 1  ")


def test_a_whole_run(story):
    lines = read(*story.tell())
    assert lines[0] == "reading train images  32/32"
    assert lines[1] == "exp042  3f9a1c20  accuracy  cuda:0 bf16  32 train and 10 test rows"
    assert lines[2:4] == ["CutMix & <friends>", "warning: 2 rare classes"]
    assert sum("epoch" in line and "loss" in line for line in lines) == 6
    assert lines[-6:] == [
        "────  ────────  ──────  ──────  ──────────  ─────",
        "0       0.8750  0.9000       3           2  7.5 s",
        "1       0.8450  0.8450       3           2  7.5 s",
        "",
        "OOF accuracy 0.8600 ± 0.0200   40 of 42 units scored",
        "complete  15 s",
    ]


def test_a_run_that_was_complete_says_so(story):
    lines = read(FoldSkipped("0", "complete"), FoldSkipped("1", "complete"), RunFinished(True, story.SCORES, 0.1, "exp042"))
    assert lines[2].split()[:2] == ["fold", "accuracy"]
    assert lines[-1] == "complete already; nothing was trained  0.1 s"
    assert "from before" in lines[4]


def test_a_part_of_a_run_is_not_complete(story):
    assert read(story.start(), RunFinished(False, {}, 3.0, "exp042"))[-1] == "not complete yet  3.0 s"


def test_what_was_not_done_in_time_says_so(story):
    lines = read(story.start(), FoldStarted("0", 16, 20), RunFinished(False, {}, 3.0, "exp042"))
    assert [line.split()[-2:] for line in lines[-3:-1]] == [["not", "done"], ["–", "waiting"]]


def test_a_run_of_several_is_named(story):
    start = replace(story.start(("exp042/0", "exp042/1")), experiment="exp042")
    lines = read(start, FoldFinished("exp042/0", {"accuracy": 0.9}, 1, 7.5), RunFinished(False, {}, 3.0, "exp042"))
    assert lines[2] == "fold exp042/0  done  accuracy 0.9000  7.5 s"
    assert lines[3:5] == ["", "exp042"] and [line.split()[0] for line in lines[7:9]] == ["0", "1"]


def test_reading_images_is_told_now_and_then(story):
    lines = read(*(StoreProgress("train", done, 1000) for done in range(0, 1001, 10)))
    assert lines == ["reading train images  0/1,000", "reading train images  1,000/1,000"]


class Closed(io.StringIO):
    writes = 0

    def write(self, text):
        self.writes += 1
        raise BrokenPipeError


def test_a_reader_that_went_away_does_not_stop_the_run(story):
    stream = Closed()
    view = PlainView(stream)
    for event in story.tell():
        view(event)
    assert stream.writes == 1 and view.progress.finished["exp042"].complete


def test_a_terminal_without_unicode_gets_question_marks():
    raw = io.BytesIO()
    view = PlainView(io.TextIOWrapper(raw, encoding="ascii"))
    view(Notice("여우 ± fox"))
    assert raw.getvalue() == b"?? ? fox\n"
