from __future__ import annotations

import re

import pytest

from comp.events import EventLog
from comp.report.search_html import find_options, mark_axis, write_search_report


@pytest.fixture
def write(tmp_path, searched):
    """(trials, search) -> the page, of the events of a search of as many trials."""

    def write(trials, search=None, confirm="comp tune exp042 --only 0 --set 'loss={use: focal}' --confirm") -> str:
        log = EventLog(tmp_path / "events.jsonl")
        for event in searched.tell(len(trials)):
            log(event)
        path = write_search_report(tmp_path, search or searched.describe(), trials, confirm)
        assert path == tmp_path / "report.html"
        return path.read_text()

    return write


def read_rows(page: str, head: str) -> list[list[str]]:
    section = page.partition(f"<h2>{head}")[2].partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", section, re.S)]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in cells]


def test_the_page_holds_what_the_search_was(write, searched):
    trials = searched.make_trials(20)
    page = write(trials)
    for wanted in ("all else that exp042 says", "1e-05 to 0.01 (log)", "held-out rows of fold 0", "the &lt;long&gt; tail"):
        assert wanted in page
    assert "on fold 0, which chose it among 20 trials: optimistic" in page and "comp tune exp042 --only 0 --set" in page
    rows = read_rows(page, "Trials, best first")
    assert rows[0] == ["t0002", "done", "0.9000", "3", "6.0 s", "0.001", "&lt;ldam&gt; max_m=0.5", "3", "00000001"]
    states = [row[1] for row in rows]
    assert states == sorted(states) and len(rows) == 16
    done = [float(row[2]) for row in rows if row[1] == "done"]
    assert done == sorted(done, reverse=True)
    assert [row[:2] for row in read_rows(page, "Failed trials")][0] == ["t0005", "not enough memory\nmore of it"]
    assert read_rows(page, "Importance of each key")[0][0] == "optimizer.lr"


def test_it_is_whole_and_needs_nothing_from_outside(write, searched, pages):
    page = write(searched.make_trials(10))
    assert pages.parse(page).references == []
    assert not re.search(r"https?://|@import|url\(|<script", page)


def test_confirmed_stands_beside_the_score_that_chose_it(write, searched):
    trials = searched.make_trials(10)
    trials[1]["confirmed"] = 0.8512
    page = write(trials)
    assert "accuracy on folds that did not" in page and page.count("0.8512") == 2 and "--confirm" not in page
    assert "believe the second figure" in page


def test_where_all_folds_chose_there_is_nothing_to_confirm(write, searched):
    assert "<dt>confirmed</dt>" not in write(searched.make_trials(10), confirm="")


def test_trials_that_have_not_ended_have_no_say_in_importance(write, searched):
    trials = [{**trial, "state": "running"} for trial in searched.make_trials(30)]
    assert "too few trials: 0 have a score" in write(trials).lower()


def test_less_may_be_better(write, searched):
    trials = searched.make_trials(10)
    worst = min((trial for trial in trials if trial["state"] == "done"), key=lambda trial: trial["score"])
    page = write(trials, searched.describe(greater_is_better=False))
    assert f"The best, {worst['trial']}</h2>" in page


def test_a_search_without_trials_or_scores_has_a_page(write, searched):
    assert "no trial was trained to its end yet" in write([])
    failed = [trial for trial in searched.make_trials(10) if trial["state"] == "failed"]
    page = write(failed)
    assert "Failed trials" in page and "The best" not in page and "Score against" not in page


def test_each_chart_shows_the_trials_in_which_the_key_had_a_place(write, searched):
    trials = searched.make_trials(11)
    page = write(trials)
    charts = dict(re.findall(r'aria-label="accuracy against ([^"]*)">(.*?)</svg>', page, re.S))
    scored = [trial for trial in trials if trial["score"] is not None]
    assert charts["optimizer.lr"].count("<circle") == len(scored)
    assert charts["loss.0.gamma"].count("<circle") == sum(trial["drawn"]["loss"] == 0 for trial in scored)
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', charts["optimizer.lr"])]
    assert len(set(places)) > 5 and max(places) - min(places) > 100  # a decade has as much room as another
    assert ">0.001<" in charts["optimizer.lr"] and ">focal<" in charts["loss"] and "t0002 done 0.9000: lr 0.001" in page


def test_axes_show_the_whole_domain(searched):
    lr, loss, gamma, epochs = searched.PARAMETERS
    assert mark_axis(searched.SPACE, lr) == [(-5.0, "1e-05"), (-4.0, "0.0001"), (-3.0, "0.001"), (-2.0, "0.01")]
    assert [label for _, label in mark_axis(searched.SPACE, loss)] == ["", "focal", "<ldam> max_m=…", ""]
    assert [label for _, label in mark_axis(searched.SPACE, epochs)] == ["1", "2", "3"]
    assert (mark_axis(searched.SPACE, gamma)[0][0], mark_axis(searched.SPACE, gamma)[-1][0]) == (1.0, 3.0)
    assert [label for _, label in mark_axis({}, {**lr, "low": 0.02, "high": 0.1})] == ["0.02", "0.05", "0.1"]
    assert [label for _, label in mark_axis({}, {**lr, "low": 0.03, "high": 0.04})] == ["0.03", "0.04"]


def test_options_of_a_choice_inside_a_choice():
    space = {"loss": {"choice": [{"use": "a"}, {"use": "b", "inner": [{"choice": ["x", "y"]}]}]}}
    assert find_options(space, "loss.1.inner.0") == ["x", "y"]
