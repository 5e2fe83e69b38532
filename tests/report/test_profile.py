"""The profile: one table that adds up, and advice by measured shares."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from comp.events import PROFILE_PARTS, EpochProfiled, to_record
from comp.report.html import render_report
from comp.report.live import LiveView
from comp.report.plain import PlainView
from comp.report.profile import MOST_ROWS, Rule, advise, profile_lines, read_profile


def span(kind: str, epoch: int = -1, fold: str = "0", stage: str = "train", **given: Any) -> EpochProfiled:
    facts = {"device": "cpu", "workers": 0, "steps": 10 if kind == "epoch" else 0}
    facts |= {name: given.pop(name) for name in facts if name in given}
    parts = {**dict.fromkeys(PROFILE_PARTS, 0.0), **given}
    return EpochProfiled(fold, stage, kind, epoch, sum(parts.values()), parts, **facts)


def records(*events: EpochProfiled) -> list[dict[str, Any]]:
    return [to_record(event) for event in events]


PLAIN = (
    span("start", rest=1.0),
    span("epoch", 0, data=1.0, forward=2.0, backward=4.0, optimizer=0.5, validation=1.0, rest=0.5),
    span("epoch", 1, data=3.0, forward=2.0, backward=4.0, optimizer=0.5, validation=1.0, checkpoint=0.5),
    span("end", prediction=5.0),
)


def test_rows_are_of_epochs_and_shares_of_all_of_the_time() -> None:
    profile = read_profile(records(*PLAIN))
    assert [(name, wall_s) for name, wall_s, _ in profile.rows] == [("start", 1), ("1", 9), ("2", 11), ("end", 5)]
    assert all(sum(spent) == pytest.approx(wall_s) for _, wall_s, spent in profile.rows)
    shares = dict(zip(profile.parts, profile.shares, strict=True))
    assert "augment" not in shares and "exchange" not in shares and sum(shares.values()) == pytest.approx(1)
    assert shares["data"] == pytest.approx(4 / 26) and shares["backward"] == pytest.approx(8 / 26)


def test_of_several_folds_it_is_the_mean_and_of_an_epoch_that_was_trained_again_the_last() -> None:
    again = [span("epoch", 0, data=9.0), span("epoch", 0, data=1.0, exchange=1.0), span("epoch", 0, "1", data=3.0)]
    profile = read_profile(records(*again))
    assert (
        profile.about == "in seconds, the mean of 2 folds" and profile.rows[0][:2] == ("1", 2.5) and "exchange" in profile.parts
    )
    assert dict(zip(profile.parts, profile.rows[0][2], strict=True))["data"] == 2.0


def test_many_epochs_share_rows_but_not_with_another_stages() -> None:
    first = [span("epoch", epoch, stage="head", data=1.0 + epoch) for epoch in range(4)]
    second = [span("epoch", epoch, stage="all", data=1.0) for epoch in range(4, 4 + 2 * MOST_ROWS)]
    told = [span("start", stage="head"), *first, span("start", stage="all"), *second, span("end", stage="all")]
    rows = read_profile(records(*told)).rows
    assert [name for name, _, _ in rows][:5] == ["start of head", "1–3", "4", "start of all", "5–7"]
    assert rows[1][1] == pytest.approx((1 + 2 + 3) / 3) and rows[-1][0] == "end" and len(rows) <= MOST_ROWS + 5


def test_in_the_terminal_it_stands_between_the_scores_and_the_last_line(story, capsys) -> None:
    *events, end = story.tell()
    with PlainView(sys.stdout) as view:
        for event in (*events, *PLAIN, end):
            view(event)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("where the time went, in seconds")
    assert lines[at + 1].split() == ["epoch", "time", *(part for part in PROFILE_PARTS if part not in ("augment", "exchange"))]
    assert (
        lines[at + 4].split()[:4] == ["1", "9.0", "s", "1.000"] and lines[at + 7].startswith("share") and "15%" in lines[at + 7]
    )
    assert lines[-1].startswith("complete")
    assert profile_lines([]) == []


def test_the_live_view_ends_with_the_same(story) -> None:
    console = Console(file=io.StringIO(), width=150, force_terminal=True, color_system=None)
    *events, end = story.tell()
    view = LiveView(console)
    for event in (*events, *PLAIN, end):
        view(event)
    assert "where the time went, in seconds" in console.file.getvalue()


def test_the_page_shows_it_where_there_is_one(story, tmp_path) -> None:
    told = [to_record(event) for event in story.tell()]
    page = render_report(tmp_path, [*told, *records(*PLAIN)], story.SCORES, [], None)
    assert "Where the time went" in page and "<td>3.000</td>" in page and "<td>15%</td>" in page
    assert "Where the time went" not in render_report(tmp_path, told, story.SCORES, [], None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": 3.0, "forward": 7.0}, ["waiting for batches takes 30% of the time: fewer or cheaper transforms in augment"]),
        (
            {"data": 3.0, "forward": 7.0, "device": "cuda", "workers": 3},
            ["waiting for batches takes 30% of the time: train.workers above 3"],
        ),
        ({"validation": 4.0, "forward": 5.0, "checkpoint": 1.0}, ["validation takes 40%", "saving takes 10%"]),
        (
            {"copy": 2.0, "checkpoint": 1.0, "forward": 7.0},
            [
                "copying batches to the device takes 20% of the time: a larger train.batch_size",
                "saving takes 10% of the time: a faster disk, a smaller model, or train.ema: false",
            ],
        ),
        ({"forward": 4.0, "backward": 5.0, "data": 1.0}, ["the model's passes take 90% of the time"]),
        ({"optimizer": 2.5, "forward": 7.5}, ["updates take 25% of the time: train.accumulate: 2"]),
        ({"forward": 0.02, "backward": 0.02, "device": "cuda"}, ["a step takes 4.0 ms, so that the GPU waits for Python"]),
        ({"forward": 0.1, "prediction": 0.9}, ["predictions take 90% of the time: fewer views in tta"]),
    ],
)  # fmt: skip
def test_what_takes_too_much_is_said_the_greatest_share_first(given, said) -> None:
    texts = advise(records(span("epoch", 0, **given)))
    slowed = "the GPU was waited for" in read_profile(records(span("epoch", 0, **given))).about
    assert slowed == (given.get("device") == "cuda")
    assert len(texts) == len(said) and all(text.startswith(start) for text, start in zip(texts, said, strict=True)), texts


def test_every_rule_is_of_a_part_that_is_measured() -> None:
    import comp.report.profile as module

    rules = [rule for rule in (*module.EPOCH_RULES, *module.RUN_RULES) if isinstance(rule, Rule)]
    assert {rule.part for rule in rules} < set(PROFILE_PARTS) and len(rules) > 5
