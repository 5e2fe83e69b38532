"""What a manifest says otherwise than before."""

from __future__ import annotations

from comp.changes import describe_parents, find_changed_parents, list_changes, remember_parents, say_few


def test_every_key_that_differs_is_named_with_both_values():
    before = {"seed": 42, "loss": {"use": "focal", "gamma": 2.0}, "augment": [{"use": "light"}], "same": [1, 2]}
    now = {"seed": 42, "loss": {"use": "bce"}, "augment": [{"use": "heavy"}], "same": [1, 2], "mix": None}
    assert list_changes(before, now) == [
        "loss.use was focal and is bce",
        "loss.gamma was 2.0 and is not set",
        "augment.0.use was light and is heavy",
        "mix was not set and is null",
    ]
    assert list_changes(before, before) == []


def test_a_single_stage_is_not_named():
    one = {"stages": [{"epochs": 3, "train": {"epochs": 3, "ema": True}}]}
    other = {"stages": [{"epochs": 5, "train": {"epochs": 5, "ema": True}}]}
    assert list_changes(one, other) == ["train.epochs was 3 and is 5"]
    two = {"stages": [*one["stages"], {"epochs": 1}]}
    assert "stages.1.epochs was not set and is 1" in list_changes(one, two)


def test_few_are_shown():
    assert say_few(["a", "b"]) == "a, b"
    assert say_few(list("abcdef")) == "a, b, c, d, and 2 more"


def test_parents_are_compared_with_what_they_said_at_the_last_run(sheets):
    sheets.write("grand", "about: first\nseed: 1\n")
    sheets.write("parent", "extends: grand\ntrain: {epochs: 3}\n")
    child = sheets.load("extends: parent\n")
    assert find_changed_parents(child) == []  # nothing was run yet
    remember_parents(child)
    assert list(describe_parents(child)) == ["parent", "grand"] and find_changed_parents(child) == []
    sheets.write("grand", "about: another\nseed: 2\n")
    folder = sheets.write("parent", "extends: grand\ntrain: {epochs: 3}\n")
    (folder / "loss.py").write_text("# code\n")
    by_parent, by_grand = find_changed_parents(sheets.load("extends: parent\n"))
    assert by_parent.startswith("parent, which exp001 extends, has changed since the last run: loss.py was not set")
    assert "seed was 1 and is 2 (`extends: grand@DIGEST`" in by_grand and "about" not in by_grand


def test_a_pinned_parent_is_not_watched(sheets):
    sheets.write("parent", "seed: 1\n")
    digest = sheets.pin("parent")
    assert describe_parents(sheets.load(f"extends: parent@{digest}\n")) == {}
