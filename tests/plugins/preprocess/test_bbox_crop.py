from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.api import PluginError, Tables
from comp.plugins.preprocess._boxes import cut_out
from comp.plugins.preprocess.bbox_crop import bbox_crop

IMAGE = np.arange(10 * 12, dtype=np.uint8).reshape(10, 12, 1)


def make_tables(columns: dict[str, list[str]]) -> Tables:
    own = {"row_id": ["a", "b"], "id": ["a", "b"], "image": ["train/a.png", "train/b.png"]}
    return Tables(pd.DataFrame({**own, **columns}, dtype=object), None, None, "id", (), (), Path("."))


def test_cuts_and_widens_within_the_image() -> None:
    assert np.array_equal(cut_out(IMAGE, (2, 3, 4, 5), 0, False), IMAGE[3:8, 2:6])
    assert np.array_equal(cut_out(IMAGE, (2, 3, 4, 2), 0.5, False), IMAGE[2:6, 0:8])
    assert np.array_equal(cut_out(IMAGE, (2, 4, 4, 2), 0, True), IMAGE[3:7, 2:6])
    assert np.array_equal(cut_out(IMAGE, (10, 8, 9, 9), 0, False), IMAGE[8:, 10:])
    assert cut_out(IMAGE, (50, 50, 2, 2), 0, False) is IMAGE


def test_boxes_in_the_tables_columns() -> None:
    tables = make_tables({"x": ["1", ""], "y": ["2", ""], "width": ["3", ""], "height": ["4", ""]})
    step = bbox_crop(tables, Path("."))
    assert np.array_equal(step(IMAGE, "train/a.png"), IMAGE[2:6, 1:4]) and step(IMAGE, "train/b.png") is IMAGE
    assert step.key("train/a.png") == "(1.0, 2.0, 3.0, 4.0)" and step.key("train/b.png") == ""


def test_boxes_in_a_file_by_row_or_file_name(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("name,x1,y1,x2,y2\na,1,2,4,6\nb.png,0,0,2,2\n")
    step = bbox_crop(
        make_tables({}), tmp_path, file=Path("boxes.csv"), key="name", columns=["x1", "y1", "x2", "y2"], corners=True
    )
    assert np.array_equal(step(IMAGE, "train/a.png"), IMAGE[2:6, 1:4])
    assert np.array_equal(step(IMAGE, "train/b.png"), IMAGE[:2, :2])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="the training table has no column 'x', 'y'"):
        bbox_crop(make_tables({}), tmp_path)
    with pytest.raises(PluginError, match="there is no file boxes.csv in"):
        bbox_crop(make_tables({}), tmp_path, file=Path("boxes.csv"))
    with pytest.raises(PluginError, match="1 boxes that are no numbers"):
        bbox_crop(make_tables({name: ["1", "one"] for name in ("x", "y", "width", "height")}), tmp_path)
    with pytest.raises(PluginError, match="wanted four columns"):
        bbox_crop(make_tables({}), tmp_path, columns=["x"])
