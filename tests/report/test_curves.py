from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from comp.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, draw_chart, place_ticks, write_tick


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.45, 0.94, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (-3.0, 5.0, [-4, -2, 0, 2, 4, 6]),
    ],
)
def test_ticks_are_round_and_span_the_data(low, high, ticks):
    assert place_ticks(low, high, 6) == pytest.approx(ticks)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 20, 23, 100, 1000])
def test_epochs_have_whole_ticks_inside(epochs):
    ticks = place_ticks(1, epochs, 7, whole=True)
    assert ticks[0] == 1 and all(tick % 1 == 0 for tick in ticks)
    assert len(ticks) <= 9 and (epochs == 1 or ticks[-1] <= epochs)


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (0.0, 0.0), (-2.0, -2.0)])
def test_a_flat_line_still_has_an_axis(low, high):
    ticks = place_ticks(low, high, 6)
    assert ticks[0] < low and ticks[-1] > high and len(ticks) <= 8


def test_ticks_are_written_with_the_decimals_they_need():
    assert [write_tick(tick, [0, 0.25, 0.5]) for tick in (0, 0.25, 0.5)] == ["0.00", "0.25", "0.50"]
    assert write_tick(1000.0, [0, 500, 1000]) == "1,000"
    assert [write_tick(tick, [0, 1e-4, 3e-4]) for tick in (0, 1e-4, 3e-4)] == ["0", "1e-4", "3e-4"]


def test_points_stand_where_they_belong():
    svg = ElementTree.fromstring(draw_chart([Curve("fold 0", ((1, 0.0), (3, 1.0)), "#123456")], "loss", "epoch", "loss"))
    [line] = [node for node in svg if node.get("class") == "curve"]
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
    assert (x1, y1) == (LEFT, HEIGHT - BOTTOM) and (x2, y2) == (WIDTH - RIGHT, TOP)


def test_axes_are_labelled_and_names_escaped():
    svg = draw_chart([Curve("a<b", ((1, 1), (2, 2)), "#123456", dashed=True)], "x & y", "epoch", "loss <1>")
    texts = [node.text for node in ElementTree.fromstring(svg).iter() if node.text]
    assert {"x & y", "a<b", "epoch", "loss <1>"} <= set(texts)
    assert "stroke-dasharray" in svg


def test_one_epoch_is_a_dot():
    assert "<circle" in draw_chart([Curve("fold 0", ((1, 0.5),), "#123456")], "t", "epoch", "y")


def test_no_points_no_chart():
    assert draw_chart([Curve("fold 0", (), "#123456")], "t", "epoch", "y") == ""
