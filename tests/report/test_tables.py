from __future__ import annotations

import pytest

from comp.report.tables import (
    coverage_line,
    format_age,
    format_duration,
    format_score,
    format_spread,
    format_table,
    member_lines,
    member_rows,
    rank_classes,
    raw_lines,
    score_lines,
)


def test_columns_are_aligned():
    assert format_table(["name", "n"], [["a", "1"], ["longer", "1,000"]], right=(1,)) == [
        "name        n",
        "──────  ─────",
        "a           1",
        "longer  1,000",
    ]


def test_korean_takes_two_columns_a_letter():
    lines = format_table(["class", "x"], [["여우", "1"], ["fox", "2"]])
    assert lines[2:] == ["여우   1", "fox    2"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (200, "3:20"),
        (3600, "1:00:00"),
        (3723, "1:02:03"),
        (None, "–"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "just now"), (61, "1 min"), (7200, "2 h"), (86_399, "23 h"), (12.5 * 86_400, "12 d")]
)
def test_ages(seconds, text):
    assert format_age(seconds) == text


@pytest.mark.parametrize(
    ("score", "text"), [(0.93123, "0.9312"), (-1.5, "-1.5000"), (1234.567, "1,234.57"), (None, "–"), (float("nan"), "–")]
)
def test_scores(score, text):
    assert format_score(score) == text


def test_a_spread_is_left_out_where_there_is_none():
    assert format_spread(0.9, None) == "0.9000" and format_spread(0.9, 0.01) == "0.9000 ± 0.0100"


def test_classes_are_ranked_worst_first_in_the_metrics_direction(story):
    assert rank_classes(story.SCORES) == [("dog", 0.5), ("cat", 0.95)]
    assert rank_classes({**story.SCORES, "greater_is_better": False})[0] == ("cat", 0.95)


def test_classes_of_several_targets_bear_the_target(story):
    scores = {**story.SCORES, "per_target": {"a": 0.5, "b": 0.7}, "per_class": {"a": {"x": 0.9}, "b": {"x": 0.1}}}
    assert rank_classes(scores) == [("b=x", 0.1), ("a=x", 0.9)]


def test_scores_are_told_in_full(story):
    lines = score_lines({**story.SCORES, "per_fold": {"0": 0.875, "1": None}, "undefined": {"fold 1": "one class only"}})
    assert "0       0.8750" in lines and "1            –" in lines
    assert "OOF accuracy 0.8600 ± 0.0200   40 of 42 units scored" in lines
    assert "log_loss 0.4100 ± 0.0300" in lines
    assert lines[-1] == "no score for fold 1: one class only"


def test_the_interval_stands_beside_the_headline(story):
    lines = score_lines({**story.SCORES, "interval": {"low": 0.82, "high": 0.901, "resamples": 200}})
    assert "OOF accuracy 0.8600 ± 0.0200   95% interval 0.8200 to 0.9010   40 of 42 units scored" in lines


def test_several_targets_are_told_each(story):
    lines = score_lines({**story.SCORES, "per_target": {"mask": 0.9, "age": 0.82}, "per_class": {}})
    assert "mask: 0.9000" in lines and "age: 0.8200" in lines


def test_no_coverage_says_nothing():
    assert coverage_line({}) == ""


BLEND = {
    "rule": "weighted", "scores": {"a": 0.8, "b": 0.7}, "weights": {"a": 0.75, "b": 0.25}, "drop_one": {"a": 0.02, "b": None},
    "correlation": {"a": {"a": 1.0, "b": 0.5}, "b": {"a": 0.5, "b": 1.0}},
}  # fmt: skip
MEMBERS = {"a": "exp001@1", "b": "exp002@2"}


def test_members_of_a_blend_are_told_each(story):
    scores = {**story.SCORES, "members": MEMBERS, "blend": BLEND}
    assert member_rows(scores) == [
        ["member", "run", "alone", "weight", "without", "r a", "r b"],
        ["a", "exp001@1", "0.8000", "0.750", "-0.0200", "1.000", "0.500"],
        ["b", "exp002@2", "0.7000", "0.250", "–", "0.500", "1.000"],
    ]
    # Where less is better, what is lost without a member is a rise.
    assert member_rows({**scores, "greater_is_better": False})[1][4] == "+0.0200"
    assert score_lines(scores)[-2:] == member_lines(scores)[-2:]
    assert member_lines(story.SCORES) == []


def test_what_members_have_not_is_left_out_and_many_have_no_matrix_in_a_terminal(story):
    bare = {"rule": "compose", "scores": {}, "weights": None, "drop_one": {}, "correlation": {}}
    assert member_rows({**story.SCORES, "members": MEMBERS, "blend": bare})[0] == ["member", "run"]
    names = [f"m{number}" for number in range(9)]
    many = {**bare, "scores": dict.fromkeys(names, 0.5), "correlation": {name: dict.fromkeys(names, 1.0) for name in names}}
    scores = {**story.SCORES, "members": dict.fromkeys(names, "x@1"), "blend": many}
    assert len(member_rows(scores)[0]) == 12
    assert member_lines(scores)[1].split() == ["member", "run", "alone"] and "report.html" in member_lines(scores)[-1]


def test_with_post_the_score_before_it_is_told(story):
    scores = {**story.SCORES, "raw": {"pooled": 0.8, "std": 0.01}, "post": [{"use": "temperature"}, {"use": "thresholds"}]}
    assert "before post (temperature, thresholds) 0.8000 ± 0.0100" in score_lines(scores)
    assert raw_lines(story.SCORES) == []


def test_the_noise_of_seeds_is_said():
    scores = {"seeds": {"scores": {"0": 0.91, "7": 0.93}, "std": 0.0141421}}
    assert raw_lines(scores) == ["by seed 0: 0.9100, 7: 0.9300; standard deviation 0.0141"]
    assert raw_lines({}) == []
