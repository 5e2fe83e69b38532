"""Names of views, and which of the stored ones a manifest means."""

from __future__ import annotations

from comp.views import choose_views, label_view, list_complete, missing_views, name_views

HFLIP = {"use": "hflip"}
TURN = {"use": "turn", "degrees": 90, "around": "x"}


def test_labels_bear_arguments_sorted_by_name():
    assert label_view(HFLIP) == "hflip"
    assert label_view(TURN) == "turn(around=x,degrees=90)"


def test_one_view_bears_the_label_several_a_name_each():
    assert name_views(HFLIP, {"whatever": 1}) == {"hflip": 1}
    assert name_views(TURN, {"a": 1, "b": 2}) == {"turn(around=x,degrees=90)/a": 1, "turn(around=x,degrees=90)/b": 2}


def test_the_plain_view_comes_first_and_only_what_is_meant_counts():
    stored = ["turn(around=x,degrees=90)/b", "plain", "hflip", "hflip2", "turn(around=x,degrees=90)/a", "plain"]
    assert choose_views(stored, []) == ["plain"]
    assert choose_views(stored, [HFLIP]) == ["plain", "hflip"]
    assert choose_views(stored, [TURN, HFLIP]) == ["plain", "turn(around=x,degrees=90)/a", "turn(around=x,degrees=90)/b", "hflip"]


def test_missing_views_are_those_of_which_nothing_is_stored():
    assert missing_views(["plain", "hflip"], [HFLIP, TURN]) == [TURN]
    assert missing_views(["plain", "turn(around=x,degrees=90)/a"], [TURN]) == []
    assert missing_views(["plain", "hflip2"], [HFLIP]) == [HFLIP]


def test_a_view_is_complete_when_every_seed_has_it():
    assert list_complete(["plain", "plain", "hflip"], [0, 3, 3]) == ["plain"]
    assert list_complete(["plain", "plain", "hflip", "hflip"], [0, 3, 3, 0]) == ["hflip", "plain"]
    assert list_complete([], []) == []
