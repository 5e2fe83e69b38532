from __future__ import annotations

import json
import re

import numpy as np
import pytest

from comp.api import Target, Task
from comp.events import EventLog, Notice, RunFinished, RunStopped
from comp.pictures import Shown
from comp.predictions import Predictions, write_predictions
from comp.report.html import write_report

CLASSES = ("cat", "dog", "<b>fox</b>")


@pytest.fixture
def run_folder(tmp_path, story):
    log = EventLog(tmp_path / "events.jsonl")
    for event in story.tell():
        log(event)
    (tmp_path / "scores.json").write_text(json.dumps(story.SCORES))
    values = np.full((40, 3), 0.1)
    values[np.arange(40), np.arange(40) % 3] = 0.8
    task = Task((Target("label", "multiclass", CLASSES, ("label",)),))
    ids = np.array([f"u{number}" for number in range(40)], dtype=object)
    write_predictions(tmp_path / "oof.parquet", Predictions(task, ids, values, np.arange(40) % 2))
    return tmp_path


def truth() -> tuple[list[str], dict[str, np.ndarray]]:
    """All right but the first ten cats, which are dogs."""
    classes = np.arange(40) % 3
    classes[np.flatnonzero(classes == 0)[:10]] = 1
    return [f"u{number}" for number in range(40)], {"label": classes}


def test_the_report_holds_what_the_run_was(run_folder, pages):
    path = write_report(run_folder, *truth())
    assert path == run_folder / "report.html"
    reader = pages.read(path)
    text = " ".join(reader.texts)
    for wanted in (
        "exp042",
        "3f9a1c20",
        "CutMix & <friends>",
        "0.8600 ± 0.0200",
        "cuda:0",
        "bf16",
        "log_loss",
        "0.4100",
        "2 rare classes",
    ):
        assert wanted in text
    assert "of 42" in text and "15 s" in text  # coverage, and the folds' time: 2 × 7.5 s
    assert "Most confused" in text and "dog (0)" not in text


def test_it_needs_nothing_from_outside(run_folder, pages):
    path = write_report(run_folder, *truth())
    assert pages.read(path).references == []
    assert not re.search(r"https?://|@import|url\(|<script", path.read_text())


def test_names_from_tables_are_no_markup(run_folder):
    text = write_report(run_folder, *truth()).read_text()
    assert "<b>fox</b>" not in text and "&lt;b&gt;fox&lt;/b&gt;" in text


def table_rows(path, head: str) -> list[list[str]]:
    section = path.read_text().partition(f"<h2>{head}")[2].partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in re.findall(r"<tr>(.*?)</tr>", section, re.S)]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in cells]


def test_folds_show_the_stored_score_and_the_best_epoch(run_folder):
    rows = table_rows(write_report(run_folder), "Folds")
    assert [row[:5] for row in rows] == [["0", "0.8750", "0.9000", "2", "3"], ["1", "0.8450", "0.8450", "2", "3"]]


def test_classes_come_worst_first_with_their_recall(run_folder):
    rows = table_rows(write_report(run_folder, *truth()), "Classes")
    assert [row[0] for row in rows] == ["dog", "cat", "&lt;b&gt;fox&lt;/b&gt;"]
    # 13 of 23 dogs are found, 10 are taken for cats; of 14 predicted cats 4 are cats: F1 is 2·13/(23 + 13) and 2·4/(4 + 14)
    assert rows[0][1:] == ["0.5000", "", "100.0%", "56.5%", "72.2%", "23", "cat (10)"]
    assert rows[1][3:] == ["28.6%", "100.0%", "44.4%", "4", ""]


def test_averages_stand_below_the_classes(run_folder):
    text = write_report(run_folder, *truth()).read_text().partition("<tfoot>")[2].partition("</tfoot>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.S)]
    # 30 of 40 are right; recalls 1, 13/23, 1; weights 4, 23, 13
    assert rows[0] == ["accuracy", "", "", "", "", "75.0%", "40", ""]
    assert rows[1][:5] == ["macro average", "", "", "76.2%", "85.5%"] and rows[2][4] == "75.0%"


def test_the_matrix_counts(run_folder):
    rows = table_rows(write_report(run_folder, *truth()), "Confusion")
    assert rows == [["cat", "4", "", ""], ["dog", "10", "13", ""], ["&lt;b&gt;fox&lt;/b&gt;", "", "", "13"]]


def test_without_truth_there_is_no_matrix_but_a_table_of_classes(run_folder):
    path = write_report(run_folder)
    assert "Confusion" not in path.read_text()
    assert [row[:2] for row in table_rows(path, "Classes")] == [["dog", "0.5000"], ["cat", "0.9500"]]


def test_many_classes_have_no_matrix(run_folder):
    classes = tuple(f"c{number:02}" for number in range(31))
    task = Task((Target("label", "multiclass", classes, ("label",)),))
    ids = np.array([f"u{number}" for number in range(40)], dtype=object)
    write_predictions(
        run_folder / "oof.parquet", Predictions(task, ids, np.eye(31)[np.arange(40) % 31], np.zeros(40, dtype=np.int64))
    )
    text = write_report(run_folder, *truth()).read_text()
    assert 'class="matrix"' not in text and "Most confused" in text


def test_a_fold_trained_again_is_drawn_once(run_folder, story):
    log = EventLog(run_folder / "events.jsonl")
    log(story.start())
    log(story.epoch("0", 2, 0.5))
    text = write_report(run_folder).read_text()
    [points] = re.findall(r'<polyline class="curve" stroke="#0072b2" points="([^"]*)"><title>fold 0, accuracy', text)
    assert len(points.split()) == 3


def test_an_unfinished_run_has_a_report(tmp_path, story, pages):
    log = EventLog(tmp_path / "events.jsonl")
    for event in [*list(story.tell())[:8], RunStopped("interrupted")]:
        log(event)
    text = " ".join(pages.read(write_report(tmp_path)).texts)
    assert "no fold is done yet" in text and "(not done)" in text and "stopped: interrupted" in text


def test_a_blend_has_a_report_without_curves(run_folder, story, pages):
    (run_folder / "events.jsonl").unlink()
    EventLog(run_folder / "events.jsonl")(RunFinished(True, story.SCORES, 1.0, "exp042"))
    scores = {**story.SCORES, "experiment": "blend1", "digest": "7b00aa11", "members": {"exp040": "exp040@3f9a1c20"}}
    (run_folder / "scores.json").write_text(json.dumps(scores))
    text = " ".join(pages.read(write_report(run_folder, *truth())).texts)
    assert "blend1" in text and "exp040@3f9a1c20" in text and "Curves" not in text and "Confusion" in text
    assert "Members" not in text
    blend = {"rule": "mean", "scores": {"exp040": 0.7654}, "weights": None, "drop_one": {}, "correlation": {}}
    raw = {"raw": {"pooled": 0.7, "std": 0.1}, "post": [{"use": "clip"}]}
    (run_folder / "scores.json").write_text(json.dumps({**scores, **raw, "blend": blend}))
    text = " ".join(pages.read(write_report(run_folder, *truth())).texts)
    assert "Members" in text and "0.7654" in text and "before post (clip) 0.7000 ± 0.1000" in text


def test_warnings_and_undefined_scores_stand_first(run_folder, story):
    (run_folder / "scores.json").write_text(json.dumps({**story.SCORES, "undefined": {"fold 1": "one class only"}}))
    EventLog(run_folder / "events.jsonl")(Notice("just so you know"))
    notices = re.findall(r'<li class="(\w+)">(.*?)</li>', write_report(run_folder).read_text())
    assert notices == [
        ("warning", "no score for fold 1: one class only"),
        ("warning", "2 rare classes"),
        ("info", "just so you know"),
    ]


def make_shown(look) -> Shown:
    """Forty training rows of the truth and ten test units, all of which are cats."""
    target = Target("label", "multiclass", CLASSES, ("label",))
    ids = np.array([f"t{number}" for number in range(10)], dtype=object)
    predicted = Predictions(Task((target,)), ids, np.tile([0.7, 0.2, 0.1], (10, 1)))
    return Shown((target,), truth()[1], predicted, look)


def look_everywhere(what: str, ids: list[str]) -> list[np.ndarray | str]:
    return [np.full((4, 4, 1), 200, np.uint8) for _ in ids]


def test_pictures_and_counts_of_the_data(run_folder, pages):
    path = write_report(run_folder, *truth(), make_shown(look_everywhere))
    reader = pages.read(path)
    # ten mistakes and ten test units, each with its id
    assert len(reader.references) == 20 and all(value.startswith("data:image/jpeg;base64,") for value in reader.references)
    assert [row[0] for row in table_rows(path, "Counts")] == ["cat", "dog", "&lt;b&gt;fox&lt;/b&gt;"]
    assert table_rows(path, "Counts")[0][1:] == ["4", "10.0%", "", "10", "100.0%"]
    text = " ".join(reader.texts)
    assert "All 10 held-out units that are wrong" in text and "predicted: cat (80%)" in text and "true: dog" in text
    assert "All 10 test units, with what is predicted" in text and "t9 cat (70%)" in text
    assert not re.search(r"https?://|@import|url\(|<script", path.read_text())


def test_images_that_are_gone_are_said(run_folder):
    text = write_report(run_folder, *truth(), make_shown(lambda what, ids: [f"{unit}.png: no file" for unit in ids])).read_text()
    assert "10 of these 10 images cannot be shown: u0.png: no file" in text and "t0.png: no file" in text
    assert "<img" not in text and text.count("no image") == 20


def test_training_pictures_are_those_that_a_fold_kept(run_folder, pages):
    assert "This run kept none" in write_report(run_folder).read_text()
    (run_folder / "fold1").mkdir(exist_ok=True)
    stages = {"head": [{"jpeg": "aGVhZA==", "lines": ["cat (70%)", "<dog> (30%)"]}], "all": [{"jpeg": "YWxs", "lines": ["cat"]}]}
    (run_folder / "fold1/samples.json").write_text(json.dumps({"format": 1, "stages": stages}))
    path = write_report(run_folder)
    assert pages.read(path).references == ["data:image/jpeg;base64,aGVhZA==", "data:image/jpeg;base64,YWxs"]
    text = path.read_text()
    assert "kept none" not in text and "&lt;dog&gt; (30%)" in text and text.index("<h3>head") < text.index("<h3>all")


def test_what_an_autoencoder_drew_is_in_it(run_folder):
    (run_folder / "fold1").mkdir(exist_ok=True)
    (run_folder / "fold1/reconstructions.png").write_bytes(b"picture")
    text = write_report(run_folder).read_text()
    assert "Reconstructions" in text and 'src="data:image/png;base64,cGljdHVyZQ=="' in text and "fold1" in text
